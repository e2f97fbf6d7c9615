package session

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/mail"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/mailbox"
	sdk "github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Append stores a message (RFC 9051, 6.3.12). It may answer before it has read
// all of raw. What is appended to the sent mail and was submitted here is there
// already, or comes from the provider by itself: then that copy is the answer,
// so that it exists once, whatever the client is set to do.
func (s *Session) Append(ctx context.Context, name string, r AppendRequest, raw io.Reader) (*AppendData, error) {
	to, keywords, deleted, err := s.mayAppend(ctx, name, r)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(raw, headerPeek)
	id, m, known, err := s.sent(ctx, to.mailbox, in, r.Size)
	if err != nil {
		return nil, err
	}
	if !known {
		m, err = s.server.opts.Mirror.Append(ctx, mailbox.AppendInput{
			Account: s.account, Mailbox: to.mailbox.ID, Keywords: keywords, Date: r.Date, Operation: rand.Text(),
		}, in, r.Size)
		if err != nil {
			return nil, err
		}
		if id != "" && m != nil {
			s.server.opts.Submissions.Appended(s.account, id, m.ID, r.Size)
		}
	} else if m != nil {
		if err := s.flagSent(ctx, m, keywords); err != nil {
			return nil, err
		}
	}
	data := &AppendData{UIDValidity: to.mailbox.UIDValidity}
	if m == nil {
		return data, nil
	}
	data.UID = m.UIDs[to.mailbox.ID]
	if deleted && data.UID != 0 {
		if err := s.server.opts.Mirror.SetDeleted(ctx, to.mailbox.ID, []uint32{data.UID}, true); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// MayAppend says why a message would not be stored: before it is sent, where a
// program waits for that word.
func (s *Session) MayAppend(ctx context.Context, name string, r AppendRequest) error {
	_, _, _, err := s.mayAppend(ctx, name, r)
	return err
}

func (s *Session) mayAppend(ctx context.Context, name string, r AppendRequest) (to *node, keywords []string, deleted bool, err error) {
	if err := s.mayWrite(); err != nil {
		return nil, nil, false, err
	}
	if to, err = s.target(ctx, name); err != nil {
		return nil, nil, false, err
	}
	if r.Size > s.server.opts.AppendLimit {
		return nil, nil, false, sdk.Errorf(sdk.KindTooLarge, "append", "A message may have at most %d octets", s.server.opts.AppendLimit)
	}
	if keywords, deleted, err = keywordsOf(r.Flags); err != nil {
		return nil, nil, false, badCommand(err.Error())
	}
	if len(keywords) > maxKeywords {
		return nil, nil, false, errKeywords
	}
	return to, keywords, deleted, s.mailboxTakes(ctx, to.mailbox, keywords)
}

// headerPeek is how much of a message is looked at for its Message-ID.
const headerPeek = 64 << 10

// sent gives the Message-ID of a message for the sent mail, the copy of it that
// this gateway has sent, and whether it has: the copy may be on its way.
func (s *Session) sent(ctx context.Context, to *store.Mailbox, raw *bufio.Reader, size int64) (id string, m *store.Message, ok bool, err error) {
	if s.server.opts.Submissions == nil || to.Role != sdk.RoleSent {
		return "", nil, false, nil
	}
	head, err := raw.Peek(headerPeek)
	if err != nil && err != io.EOF {
		return "", nil, false, err
	}
	if id = messageID(head); id == "" {
		return "", nil, false, nil
	}
	m, ok, err = s.server.opts.Submissions.Sent(ctx, s.account, to.ID, id, size)
	return id, m, ok, err
}

// messageID finds the Message-ID in the beginning of a message.
func messageID(head []byte) string {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(head, []byte(end)); i >= 0 {
			head = head[:i+len(end)]
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(append(slices.Clone(head), "\r\n\r\n"...)))
	if err != nil {
		return ""
	}
	id := strings.TrimSpace(m.Header.Get("Message-Id"))
	return strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">")
}

// flagSent gives a copy the flags that the client wanted its own to have.
func (s *Session) flagSent(ctx context.Context, m *store.Message, keywords []string) error {
	var add []string
	have := m.AllKeywords()
	for _, k := range keywords {
		if k != sdk.Draft && !slices.Contains(have, k) {
			add = append(add, k)
		}
	}
	if len(add) == 0 {
		return nil
	}
	rs, err := s.server.opts.Mirror.Update(ctx, []string{m.ID}, mailbox.Change{AddKeywords: add})
	if err == nil {
		err = rs[0].Err
	}
	return err
}
