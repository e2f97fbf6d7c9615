package session

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// append stores a message.
func (c *client) append(name, raw string, date time.Time, flags ...string) (*AppendData, error) {
	return c.s.Append(c.w.t.Context(), name, AppendRequest{Flags: flags, Date: date, Size: int64(len(raw))}, strings.NewReader(raw))
}

func TestAppend(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts, func(o *Options) { o.AppendLimit = 1000 })
		w.deliver("archive")
		w.sync()
		c := w.client()
		sel := c.open("Archive")
		date := time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC)
		raw := "From: ann@example.com\r\nSubject: kept\r\n\r\nAs it is.\r\n"
		got, err := c.append("Archive", raw, date, `\Seen`, "Mine", `\Answered`, `\Deleted`)
		w.must(err)
		if d := cmp.Diff(&AppendData{UIDValidity: sel.UIDValidity, UID: 2}, got); d != "" {
			t.Fatalf("APPENDUID (-want +got):\n%s", d)
		}
		// EXISTS is told before the command's OK.
		c.hears("* 2 EXISTS\n* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft mine)")
		w.must(w.store.View(t.Context(), func(tx store.Tx) error {
			row, ok := c.s.sel.box.Row(2)
			if !ok || row.Date != date.Unix() || !row.Deleted || !row.Has(mail.Answered) || !row.Has("mine") {
				t.Errorf("the row is %+v", row)
			}
			m, err := tx.Message(row.Message)
			if err != nil {
				return err
			}
			kept, err := w.cloud.Raw(ann, m.ProviderID)
			if !bytes.Equal(kept, []byte(raw)) {
				t.Errorf("the provider has %q", kept)
			}
			return err
		}))

		_, err = c.append("Nowhere", raw, date)
		code(t, err, "TRYCREATE")
		_, err = c.append("Archive", strings.Repeat("x", 1001), date)
		code(t, err, "TOOBIG")
		w.cloud.FailNext("append", mail.KindOverQuota)
		_, err = c.append("Archive", raw, date)
		code(t, err, "OVERQUOTA")
		if got := Answer(func() error { _, err := c.append("Archive", raw, date, `\Odd`); return err }()); got.Status != Bad {
			t.Errorf("a flag that is none: %+v", got)
		}
		w.sync()
		if got := w.table("archive"); len(got) != 2 {
			t.Errorf("archive: %v", got)
		}
	})
}

// sentBefore knows the one message that was submitted.
type sentBefore struct {
	*world
	id       string
	copy     string // the provider's id of its copy
	appended []string
}

func (s *sentBefore) Sent(ctx context.Context, _, _, messageID string, _ int64) (m *store.Message, ok bool, err error) {
	if messageID != s.id {
		return nil, false, nil
	}
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		m, err = tx.Message(mailbox.MessageID(account, s.copy))
		return err
	})
	return m, true, err
}

func (s *sentBefore) Appended(_, messageID, _ string, _ int64) {
	s.appended = append(s.appended, messageID)
}

// What was sent through the gateway is in the sent mail once, whatever the
// client stores there.
func TestAppendToSent(t *testing.T) {
	known := &sentBefore{id: "1@example.org"}
	w := newWorld(t, memory.Options{}, func(o *Options) { o.Submissions = known })
	known.world = w
	known.copy = w.deliver("sent")
	w.sync()
	c := w.client()
	sel := c.open("Sent")
	got, err := c.append("Sent", "Subject: x\r\nMessage-ID:\r\n <1@example.org>\r\n\r\nx", time.Time{}, `\Seen`, `\Draft`)
	w.must(err)
	if d := cmp.Diff(&AppendData{UIDValidity: sel.UIDValidity, UID: 1}, got); d != "" {
		t.Errorf("APPENDUID (-want +got):\n%s", d)
	}
	c.hears(`* 1 FETCH (UID 1 FLAGS (\Seen))`)
	got, err = c.append("Sent", "Message-ID: <other@example.org>\r\n\r\nx", time.Time{})
	w.must(err)
	if got.UID != 2 || len(known.appended) != 1 || known.appended[0] != "other@example.org" {
		t.Errorf("another message: UID %d, told of %q", got.UID, known.appended)
	}
	// Elsewhere the Message-ID means nothing.
	got, err = c.append("Archive", "Message-ID: <1@example.org>\r\n\r\nx", time.Time{})
	w.must(err)
	if got.UID != 1 || len(w.table("archive")) != 1 {
		t.Errorf("in the archive: UID %d, %v", got.UID, w.table("archive"))
	}
}

func TestMessageID(t *testing.T) {
	for head, want := range map[string]string{
		"Message-ID: <a@b>\r\n\r\nx":                         "a@b",
		"Subject: x\nmessage-id:  <a@b> \n\nMessage-ID: <c>": "a@b",
		"Message-ID:\r\n\t<a@b>\r\n\r\n":                     "a@b",
		"Message-ID: <a@b>":                                  "a@b",
		"Subject: none\r\n\r\nMessage-ID: <c@d>\r\n":         "",
		"\x00\xff rubbish":                                   "",
		"":                                                   "",
	} {
		if got := messageID([]byte(head)); got != want {
			t.Errorf("%q: %q, want %q", head, got, want)
		}
	}
}
