package mailbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// AppendInput is where a message goes and what it is to have.
type AppendInput struct {
	Account string
	// Mailbox is our id.
	Mailbox  string
	Keywords []string
	// Date is when it was received; zero is now.
	Date time.Time
	// Operation names this one append, empty for one without a name: again with
	// the same name, and the message is not stored twice.
	Operation string
}

// appendTries is how often a provider is asked about one append whose outcome
// is open.
const appendTries = 3

// Append stores a message of size bytes in a mailbox: at the provider first,
// with its date and the keywords that the provider holds. What came of the bytes
// there is read back and kept, so that what is told of the message is true of
// what the provider has. The message has its UID in the mailbox. Where it could
// be stored and not read back its Blob is empty, and the bytes are brought when
// somebody reads them.
//
// Where it stays open whether the provider has stored it (outcome_unknown), or
// ctx has ended, so that nobody learns of it, the same bytes for the same mailbox
// are taken for another try for a while, and are not stored twice.
func (s *Service) Append(ctx context.Context, in AppendInput, raw io.Reader, size int64) (*store.Message, error) {
	in.Keywords = normalKeywords(in.Keywords)
	for _, k := range in.Keywords {
		if err := checkKeyword(k); err != nil && k != mail.Draft {
			return nil, err
		}
	}
	acct, p, err := s.writable(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	info, err := s.providers.Info(acct.Provider)
	if err != nil {
		return nil, err
	}
	box, err := s.target(ctx, in.Account, in.Mailbox)
	if err != nil {
		return nil, err
	}
	if most := info.Limits.MaxMessageBytes; most > 0 && size > most {
		return nil, mail.Errorf(mail.KindTooLarge, "append", "the message has %d bytes, the provider takes %d", size, most)
	}
	source, err := s.rewindable(ctx, in.Account, raw, size)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	w := &work{acct: acct, p: p, info: info}
	told, again, err := s.appendOnce(ctx, w, in, box, source, size)
	if err != nil {
		return nil, err
	}
	body := s.readBack(ctx, w, told.ProviderID)
	m, err := s.appended(ctx, w, in, box, told, body)
	if err != nil || ctx.Err() != nil {
		again() // nobody learns that it is done
	}
	return m, err
}

// appendOnce has the provider store the message, once however often it is asked.
// again has the next append of the same bytes find this one.
func (s *Service) appendOnce(ctx context.Context, w *work, in AppendInput, box *store.Mailbox, source io.ReadSeeker, size int64) (told *mail.Message, again func(), err error) {
	h := sha256.New()
	if n, err := io.Copy(h, source); err != nil || n != size {
		return nil, nil, short(n, size, err)
	}
	what := openAppend{in.Account, in.Mailbox, hex.EncodeToString(h.Sum(nil))}
	req := &provider.AppendRequest{Call: write(w.acct), OperationID: in.Operation, Mailbox: box.ProviderID, ReceivedAt: in.Date, Size: size}
	if req.OperationID == "" {
		req.OperationID = rand.Text()
	}
	if before := s.appends.open(what, s.now()); before != "" {
		req.OperationID = before
	}
	if req.ReceivedAt.IsZero() {
		req.ReceivedAt = s.now()
	}
	for _, k := range in.Keywords {
		if w.info.HoldsKeyword(k) {
			req.Keywords = append(req.Keywords, k)
		}
	}
	again = func() { s.appends.doubt(what, req.OperationID, s.now()) }
	for range appendTries {
		if _, err := source.Seek(0, io.SeekStart); err != nil {
			return nil, nil, fmt.Errorf("read the message: %w", err)
		}
		var resp *provider.AppendResponse
		s.schedule.wrote(in.Account)
		resp, err = w.p.Append(ctx, req, source)
		s.schedule.wrote(in.Account)
		if err == nil && resp.Message.ProviderID == "" {
			err = mail.Errorf(mail.KindOutcomeUnknown, "append", "the provider's answer names no message")
		}
		if err == nil {
			s.appends.settled(what)
			return &resp.Message, again, nil
		}
		if mail.KindOf(err) != mail.KindOutcomeUnknown || ctx.Err() != nil {
			break
		}
	}
	if mail.KindOf(err) == mail.KindOutcomeUnknown || ctx.Err() != nil {
		again()
		s.Touch(context.WithoutCancel(ctx), in.Account)
	}
	return nil, nil, err
}

// readBack reads the bytes that the provider has stored, and keeps them; nil
// where that fails, which takes nothing back.
func (s *Service) readBack(ctx context.Context, w *work, pid string) *arrived {
	sink := &backSink{ctx: ctx, s: s, account: w.acct.ID}
	req := &provider.FetchRequest{Call: write(w.acct), IDs: []string{pid}, Mode: provider.FetchRaw}
	err := w.p.Fetch(ctx, req, sink)
	if err = errors.Join(err, sink.err); err != nil || sink.got == nil {
		s.log.WarnContext(ctx, "an appended message was not read back", "account", w.acct.ID, "error", err)
	}
	return sink.got
}

type backSink struct {
	ctx     context.Context
	s       *Service
	account string
	got     *arrived
	err     error
}

func (k *backSink) Message(*mail.Message) error {
	return mail.Errorf(mail.KindInternal, "read back", "the provider answered with metadata")
}

func (k *backSink) Failed(_ string, err error) error {
	k.err = errors.Join(k.err, err)
	return nil
}

func (k *backSink) Raw(_, contentTag string, r io.Reader) error {
	got, err := k.s.arrive(k.ctx, k.account, contentTag, r)
	k.got = got
	return err
}

// appended writes the stored message into mirror and journal, with its bytes,
// what we alone keep of it, and its UID. The provider has it: from here on the
// caller's leaving stops nothing.
func (s *Service) appended(ctx context.Context, w *work, in AppendInput, box *store.Mailbox, told *mail.Message, body *arrived) (m *store.Message, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleLimit)
	defer cancel()
	local := slices.DeleteFunc(slices.Clone(in.Keywords), w.info.HoldsKeyword)
	id := MessageID(w.acct.ID, told.ProviderID)
	asOf := s.now()
	err = s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		a := s.applier(tx, b, w.acct, asOf)
		a.direct, a.own = true, true
		if body != nil {
			a.bodies = map[string]arrived{id: *body}
		}
		if m, err = a.made(&mail.Item{Kind: mail.ItemPresent, Fields: allFields, Message: *told}, local); err != nil || m == nil {
			return err
		}
		if !slices.Contains(m.In, box.ID) || m.UIDs[box.ID] != 0 {
			return nil
		}
		if _, err := tx.GiveUID(box.ID, id); err != nil {
			return err
		}
		m, err = tx.Message(id)
		return err
	})
	s.settled(ctx, w.acct.ID)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, mail.Errorf(mail.KindUnavailable, "append", "the message is stored, and its mailbox is not in the mirror yet")
	}
	if body != nil && m.Blob != body.ref.Digest {
		// A feed was faster, and told of it without its bytes.
		if err := s.keepBody(ctx, id, m.ContentTag, body); err != nil {
			return nil, err
		}
		if m, err = s.message(ctx, id); err != nil {
			return nil, err
		}
	}
	if m.Blob != "" {
		if err := s.Hydrate(ctx, []string{id}); err != nil {
			// They are computed again when somebody asks.
			s.log.WarnContext(ctx, "the rows of an appended message are missing", "account", w.acct.ID, "message", id, "error", err)
		}
	}
	return m, nil
}
