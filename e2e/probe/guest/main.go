// Command guest runs in a virtual machine of the end-to-end tests and keeps its disk and its network busy: ten times a second it writes a record
// with the next number to the disk, has it made durable (fdatasync), and then tells everybody who is connected. Its numbers show outside what
// was acknowledged, what failed, and how long the machine stood still.
//
// The disk is a ring of records from offset ringStart on. At its start the program looks for the last record there is, so that a machine that
// was stopped and started again shows whether a record that had been acknowledged is gone.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	interval  = 100 * time.Millisecond
	ringStart = 1 << 20
	ringSlots = 1024
	slotBytes = 4096
	magic     = 0x6e75626f70726f62 // "nuboprob"
	port      = ":7000"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: guest DISK")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatalf("probe: %v", err)
	}
}

func run(device string) error {
	disk, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	last, err := lastRecord(disk)
	if err != nil {
		return fmt.Errorf("look for the last record: %w", err)
	}
	l, err := net.Listen("tcp4", port)
	if err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	h := &hub{boot: strings.TrimSpace(string(boot)), found: last, listeners: map[net.Conn]bool{}}
	go h.accept(l)
	fmt.Printf("probe: goes on after record %d\n", last)
	return h.write(disk, last)
}

// hub tells all who listen.
type hub struct {
	boot      string
	found     uint64
	mu        sync.Mutex
	listeners map[net.Conn]bool
}

func (h *hub) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			log.Printf("probe: accept: %v", err)
			return
		}
		h.mu.Lock()
		h.listeners[c] = true
		h.mu.Unlock()
	}
}

// tell gives every listener a line; who does not take it at once is dropped.
func (h *hub) tell(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.listeners {
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, line); err != nil {
			_ = c.Close()
			delete(h.listeners, c)
		}
	}
}

// write goes on for ever. A line is "boot-id found sequence-acknowledged errors longest-write-ms".
func (h *hub) write(disk *os.File, last uint64) error {
	var failed int
	acked := last
	for tick := time.NewTicker(interval); ; <-tick.C {
		next := acked + 1
		began := time.Now()
		if err := writeRecord(disk, next, began); err != nil {
			failed++
			fmt.Printf("probe: record %d: %v\n", next, err)
		} else {
			acked = next
		}
		h.tell(fmt.Sprintf("%s %d %d %d %d\n", h.boot, h.found, acked, failed, time.Since(began).Milliseconds()))
	}
}

func writeRecord(disk *os.File, n uint64, now time.Time) error {
	var b [slotBytes]byte
	binary.BigEndian.PutUint64(b[0:], magic)
	binary.BigEndian.PutUint64(b[8:], n)
	binary.BigEndian.PutUint64(b[16:], uint64(now.UnixNano()))
	binary.BigEndian.PutUint32(b[24:], crc32.ChecksumIEEE(b[:24]))
	if _, err := disk.WriteAt(b[:], ringStart+int64(n%ringSlots)*slotBytes); err != nil {
		return err
	}
	return disk.Sync()
}

// lastRecord is the largest number on the disk whose predecessors are all there, as far as the ring goes back; 0 for an empty disk.
func lastRecord(disk io.ReaderAt) (uint64, error) {
	seen := map[uint64]bool{}
	var most uint64
	var b [slotBytes]byte
	for i := range int64(ringSlots) {
		if _, err := disk.ReadAt(b[:], ringStart+i*slotBytes); err != nil {
			return 0, err
		}
		if binary.BigEndian.Uint64(b[0:]) != magic || binary.BigEndian.Uint32(b[24:]) != crc32.ChecksumIEEE(b[:24]) {
			continue
		}
		n := binary.BigEndian.Uint64(b[8:])
		seen[n] = true
		most = max(most, n)
	}
	for n := most; n > 0 && n+ringSlots > most+1; n-- {
		if !seen[n] {
			return 0, errors.New(fmt.Sprint("record ", n, " is not there, and record ", most, " is"))
		}
	}
	return most, nil
}
