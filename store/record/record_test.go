package record

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// fill gives every field a value of its own, so that one that is not encoded
// shows.
func fill(v reflect.Value, n *int) {
	*n++
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = time.Date(2026, 1, 1, 0, 0, *n, *n, time.UTC)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d é", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n % 250))
	case reflect.Map:
	default:
		panic(v.Type().String())
	}
}

// check encodes and decodes a filled and an empty record.
func check[T any](t *testing.T, encode func(*T) ([]byte, error), decode func(*T, []byte) (*T, error)) {
	t.Helper()
	for _, full := range []bool{true, false} {
		var want T
		if n := 0; full {
			fill(reflect.ValueOf(&want).Elem(), &n)
		}
		b, err := encode(&want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(&want, b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%T, filled %v (-want +got):\n%s", want, full, diff)
		}
		if full {
			if _, err := decode(&want, append(b, 0xff)); err == nil {
				t.Errorf("%T: bytes that are no record: no error", want)
			}
		}
	}
}

func TestEveryFieldIsKept(t *testing.T) {
	check(t, EncodeJob, func(w *store.Job, b []byte) (*store.Job, error) { return DecodeJob(w.ID, b) })
	check(t, EncodeAccount, func(w *store.Account, b []byte) (*store.Account, error) { return DecodeAccount(w.ID, b) })
	check(t, EncodeGrant, func(w *store.Grant, b []byte) (*store.Grant, error) { return DecodeGrant(w.ID, b) })
	check(t, EncodeConnect, func(_ *store.Connect, b []byte) (*store.Connect, error) { return DecodeConnect(b) })
	check(t, EncodeMessage, func(w *store.Message, b []byte) (*store.Message, error) { return DecodeMessage(w.ID, b) })
	check(t, EncodeThread, func(w *store.Thread, b []byte) (*store.Thread, error) { return DecodeThread(w.ID, b) })
	check(t, EncodeScope, func(w *store.Scope, b []byte) (*store.Scope, error) { return DecodeScope(w.Account, b) })
	check(t, EncodeEndpoint, func(w *store.Endpoint, b []byte) (*store.Endpoint, error) { return DecodeEndpoint(w.ID, b) })
	check(t, EncodeSubmission, func(w *store.Submission, b []byte) (*store.Submission, error) { return DecodeSubmission(w.ID, b) })
	check(t, EncodeUID, func(w *store.UID, b []byte) (*store.UID, error) {
		u, err := DecodeUID(w.UID, b)
		return &u, err
	})
	check(t, EncodeAttempt, func(w *store.Attempt, b []byte) (*store.Attempt, error) {
		a, err := DecodeAttempt(w.Delivery, b)
		return &a, err
	})
	check(t, func(d *store.Delivery) ([]byte, error) { return EncodeDelivery(d, 42, []byte("last")) }, func(_ *store.Delivery, b []byte) (*store.Delivery, error) {
		d, place, last, err := DecodeDelivery(b)
		if err == nil && (place != 42 || string(last) != "last") {
			t.Errorf("place %d, last %q", place, last)
		}
		return d, err
	})
	// The store's own counts come from elsewhere.
	check(t, EncodeMailbox, func(w *store.Mailbox, b []byte) (*store.Mailbox, error) {
		m, err := DecodeMailbox(w.ID, b)
		if err == nil {
			m.UIDNext, m.UIDListed, m.Total, m.Unread, m.ModSeq = w.UIDNext, w.UIDListed, w.Total, w.Unread, w.ModSeq
		}
		return m, err
	})
	check(t, func(s *MailboxState) ([]byte, error) { return EncodeMailboxState(*s) }, func(_ *MailboxState, b []byte) (*MailboxState, error) {
		s, err := DecodeMailboxState(b)
		return &s, err
	})
	var content []byte
	check(t, func(e *event.Event) ([]byte, error) {
		var err error
		if content, err = EncodeEventContent(e); err != nil {
			return nil, err
		}
		return EncodeEvent(e, 7, content)
	}, func(w *event.Event, b []byte) (*event.Event, error) {
		e, life, sealed, err := DecodeEvent(w.Position, b)
		if err != nil {
			return nil, err
		}
		if life != 7 || string(sealed) != string(content) {
			t.Errorf("life %d, %d bytes of content", life, len(sealed))
		}
		e.Trace = w.Trace // the journal does not keep it
		return &e, DecodeEventContent(&e, sealed)
	})
}

func TestEnvelopeOfAnEventHoldsNoMail(t *testing.T) {
	var e event.Event
	n := 0
	fill(reflect.ValueOf(&e).Elem(), &n)
	e.Reason, e.Snapshot.Subject, e.AddedKeywords = "marked reason", "marked subject", []string{"marked keyword"}
	b, err := EncodeEvent(&e, 1, nil)
	if err != nil || strings.Contains(string(b), "marked") {
		t.Errorf("envelope %q, %v", b, err)
	}
}

func TestTimesOfTheGatewaysClock(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 0).UTC(), time.Unix(0, 1).UTC(), time.Unix(0, -1).UTC(), time.Date(2026, 1, 1, 0, 0, 0, 999, time.UTC)} {
		if got := getNano(putNano(at)); !got.Equal(at) || got.IsZero() != at.IsZero() {
			t.Errorf("%v came back as %v", at, got)
		}
	}
}

func TestBadUTF8IsReplaced(t *testing.T) {
	in := []string{"fine", "bad \xff", "fine too"}
	got := texts(in)
	if diff := cmp.Diff([]string{"fine", "bad \uFFFD", "fine too"}, got); diff != "" || in[1] != "bad \xff" {
		t.Errorf("%q, %s", in, diff)
	}
}
