package mimetree

import (
	"bytes"
	"strings"
	"testing"
)

func TestEditFields(t *testing.T) {
	const raw = "A: 1\r\nBcc: x@y.example,\r\n\tz@y.example\r\nno field\r\nbcc: again\r\nB: 2\r\n\r\nBcc: body\r\n"
	drop := func(name string) bool { return strings.EqualFold(name, "Bcc") }
	if got, want := string(DropFields([]byte(raw), drop)), "A: 1\r\nno field\r\nB: 2\r\n\r\nBcc: body\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	same := EditFields([]byte(raw), func(_ string, whole []byte) []byte { return whole })
	if string(same) != raw {
		t.Errorf("%q", same)
	}
	renamed := EditFields([]byte("A: 1\r\n 2\r\nB: 3"), func(name string, whole []byte) []byte {
		return append([]byte("X-"+name), whole[len(name):]...)
	})
	if string(renamed) != "X-A: 1\r\n 2\r\nX-B: 3" {
		t.Errorf("%q", renamed)
	}
}

func FuzzEditFieldsKeeps(f *testing.F) {
	f.Add([]byte("A: 1\r\n x\r\n\r\nbody"))
	f.Add([]byte(" fold first\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		if got := EditFields(raw, func(_ string, whole []byte) []byte { return whole }); !bytes.Equal(got, before) {
			t.Errorf("%q became %q", before, got)
		}
		if !bytes.Equal(raw, before) {
			t.Error("the message was written into")
		}
	})
}
