package front

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// How much an answer without an end gives before it does end, for clients that
// read all of it: it must never be what saves them.
const (
	endless = 4 << 30
	bombs   = 128 // times 64 MiB
)

// A Dialect says where in a cloud's documents the things are that rubbish
// spoils.
type Dialect struct {
	// Lists are the members that hold entries.
	Lists []string
	// Entry says that documents which are no lists are entries, and are
	// spoiled as those.
	Entry bool
	// Link makes a list go on where the way of spoiling wants it to: at the
	// page that was asked for, at others that are the same, at a stranger's.
	Link func(doc map[string]json.RawMessage, r *http.Request, way traffic.Body)
	// Date is the member that holds the time of arrival, BadDate what no
	// reader can make a time of.
	Date    string
	BadDate any
	// Cycle makes the i-th mailbox of a list the child of the next.
	Cycle func(list []map[string]any, i int)
}

// rubbish answers in place of held, which was executed, in the way that the
// fault asks for.
func (f *Front) rubbish(w http.ResponseWriter, r *http.Request, held *Held, fault traffic.Fault) {
	say := func(contentType string, body []byte) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	}
	switch fault.Body {
	case traffic.BodyGarbage:
		say("application/json", bytes.Repeat([]byte{0xff, '{', 0, ']', '"'}, 100))
	case traffic.BodyTruncated:
		held.Body = held.Body[:len(held.Body)/2]
		held.header.Del("Content-Length")
		held.Release(w)
	case traffic.BodyHTML:
		say("text/html; charset=utf-8", []byte("<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Please sign in.</body></html>"))
	case traffic.BodyEmpty:
		say("application/json", []byte("{}"))
	case traffic.BodyEndless:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"value":["`))
		pour(w, r, bytes.Repeat([]byte("x"), 64<<10), endless)
	case traffic.BodyGzipBomb:
		// White space is JSON, too; members that follow each other are one stream (RFC 1952, section 2.2).
		member := bytes.Repeat(gzipped(bytes.Repeat([]byte(" "), 1<<20)), 64)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		pour(w, r, member, bombs*len(member))
	case traffic.BodyHeaders:
		for i := range 4096 {
			w.Header().Add("X-Flood", fmt.Sprint(i, strings.Repeat("x", 1000)))
		}
		held.Release(w)
	default:
		f.spoilDocument(r, held, fault.Body)
		held.Release(w)
	}
}

// spoilDocument changes what is held, if it is a document with what the way of
// spoiling changes.
func (f *Front) spoilDocument(r *http.Request, held *Held, way traffic.Body) {
	var doc map[string]json.RawMessage
	if json.Unmarshal(held.Body, &doc) != nil {
		return
	}
	d := f.Dialect
	entries := func(do func([]map[string]any) []map[string]any) {
		for _, name := range d.Lists {
			var list []map[string]any
			if json.Unmarshal(doc[name], &list) == nil {
				doc[name], _ = json.Marshal(do(list)) // made of what was read: cannot fail
			}
		}
	}
	each := func(name string, value any) {
		set := func(e map[string]any) {
			if _, there := e[name]; there {
				e[name] = value
			}
		}
		entries(func(list []map[string]any) []map[string]any {
			for _, e := range list {
				set(e)
			}
			return list
		})
		if _, there := doc[name]; there && d.Entry && !slices.ContainsFunc(d.Lists, func(l string) bool { return doc[l] != nil }) {
			doc[name], _ = json.Marshal(value)
		}
	}
	switch way {
	case traffic.BodyLoop, traffic.BodyCycle, traffic.BodyForeign:
		d.Link(doc, r, way)
	case traffic.BodyLongID:
		each("id", strings.Repeat("A", 1<<20))
	case traffic.BodyDates:
		each(d.Date, d.BadDate)
	case traffic.BodyDoubled:
		entries(func(list []map[string]any) []map[string]any {
			for _, e := range list {
				list = append(list, maps.Clone(e))
			}
			return list
		})
	case traffic.BodyNegative:
		entries(func(list []map[string]any) []map[string]any {
			for _, e := range list {
				for name, v := range e {
					if _, number := v.(float64); number {
						e[name] = -1 << 40
					}
				}
			}
			return list
		})
	case traffic.BodyCycleOfFolders:
		entries(func(list []map[string]any) []map[string]any {
			for i := range list {
				d.Cycle(list, i)
			}
			return list
		})
	}
	held.Body, _ = json.Marshal(doc)
	held.header.Del("Content-Length")
}

// pour writes piece again and again, until so many bytes or until the client
// has enough.
func pour(w http.ResponseWriter, r *http.Request, piece []byte, total int) {
	for n := 0; n < total && r.Context().Err() == nil; n += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is right
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
