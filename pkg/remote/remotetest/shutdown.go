package remotetest

import (
	"net"
	"syscall"
)

// shutdown ends the TCP connection itself: closing our descriptor would leave the one that sshd inherited.
func shutdown(c net.Conn) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return // closed already
	}
	_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }) // closed already
}
