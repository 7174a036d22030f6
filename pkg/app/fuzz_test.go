package app

import (
	"bytes"
	"context"
	"iter"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// stored is a site with something in it.
type stored struct {
	site
	contents state.Contents
	records  []state.Record
}

func (s stored) Export(context.Context) (state.Contents, error) { return s.contents, nil }

func (s stored) Records(context.Context) iter.Seq2[state.Record, error] {
	return archive{records: s.records}.all()
}

// FuzzArchive reads anything as a file that state pull wrote. One that is accepted is exactly what pulling its contents gives, so nothing was left out.
func FuzzArchive(f *testing.F) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := stored{contents: state.Contents{Epoch: 7, Entries: []state.Stray{{Bucket: "hosts", Key: "lab/b", Value: []byte(`{}`)}}},
		records: []state.Record{{FormatVersion: 1, Seq: 1, Time: when, Epoch: 7, Kind: state.KindNote, Text: "x", Hash: "00"}}}
	var whole bytes.Buffer
	if _, _, err := writeArchive(f.Context(), s, &whole, when); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add(whole.Bytes()[:whole.Len()-20])
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"format_version":1}` + "\n" + `{"entry":null}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readArchive(bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if _, _, err := writeArchive(t.Context(), stored{contents: a.Contents, records: a.records}, &again, when); err != nil {
			t.Fatal(err)
		}
		b, err := readArchive(&again)
		if err != nil || len(b.Entries) != len(a.Entries) || len(b.records) != len(a.records) || b.Epoch != a.Epoch {
			t.Fatalf("%+v became %+v (%v)", a, b, err)
		}
	})
}
