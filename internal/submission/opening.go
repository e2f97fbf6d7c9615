package submission

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	gomail "github.com/emersion/go-message/mail"

	"github.com/postern-mail/postern/plugins/sdk/header"
	sdk "github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// maxHeader bounds the header of a letter, which is held in memory.
const maxHeader = 1 << 20

// opening is the header of a letter. All that comes after it is handed on as it
// is, and so are the fields that stay.
type opening struct {
	fields    []header.Field
	size      int64 // of the bytes that the fields are
	headless  bool  // the message begins with its body
	messageID string
	subject   string
}

// readOpening reads the header of a message of size bytes.
//
// What two readers might take for two different headers is refused: a provider
// that reads another recipient in it than we do would mail behind the sender's
// back. RFC 5322, 2.2, has neither bare carriage returns nor NULs in a header,
// nor lines that are no field.
func readOpening(r io.ReadSeeker, size int64) (*opening, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	// Twice as much as a header may have tells one that is too large from one
	// that ends in time.
	block, err := io.ReadAll(io.LimitReader(r, min(size, maxHeader+1)))
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	fields, rest := header.Split(block)
	h := &opening{size: int64(len(block) - len(rest))}
	if len(fields) > 0 && fields[0].Name == "" {
		h.headless, h.size = true, 0
		return h, nil
	}
	if rest == nil && int64(len(block)) < size {
		return nil, &sdk.Error{Kind: sdk.KindTooLarge, Op: "submit message", Message: fmt.Sprintf("the message's header has more than %d bytes", maxHeader)}
	}
	if bytes.HasPrefix(rest, []byte("\r")) && !bytes.HasPrefix(rest, []byte("\r\n")) {
		return nil, badHeader("the line that ends it is not empty")
	}
	h.headless = len(fields) == 0 && rest == nil // an empty message
	for i := range fields {
		f := &fields[i]
		if f.Name == "" {
			return nil, badHeader("it has a line that is no field")
		}
		line := bytes.ReplaceAll(f.Raw, []byte("\r\n"), []byte("\n"))
		if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
			return nil, badHeader("it has bare carriage returns or NULs")
		}
		switch f.Name {
		case "bcc", "resent-bcc":
			continue // RFC 5322, 3.6.3: nobody sees it
		case "message-id":
			id := header.BareID(f.Value())
			if id == "" || h.messageID != "" {
				continue
			}
			h.messageID = id
		case "subject":
			h.subject = header.DecodeText(f.Value())
		}
		h.fields = append(h.fields, *f)
	}
	return h, nil
}

func badHeader(why string) error {
	return &sdk.Error{Kind: sdk.KindInvalid, Op: "submit message", Message: "the message's header cannot be taken: " + why}
}

func (h *opening) has(name string) bool {
	return slices.ContainsFunc(h.fields, func(f header.Field) bool { return f.Name == name })
}

// authored holds whom a message is from against the account's identities (RFC
// 5322, 3.6.2).
func (s *Service) authored(ctx context.Context, acct *store.Account, h *opening) error {
	from := 0
	for i := range h.fields {
		f := &h.fields[i]
		if f.Name != "from" && f.Name != "sender" {
			continue
		}
		list, ok := header.ParseAddresses(f.Value())
		if !ok || len(list) == 0 {
			return badHeader("whom it is from cannot be read")
		}
		for _, a := range list {
			if err := s.maySend(ctx, acct, a.Address); err != nil {
				return err
			}
		}
		if f.Name == "from" {
			from++
		}
	}
	if from > 1 {
		return badHeader("it says more than once whom it is from")
	}
	return nil
}

// complete gives the header as it is sent, up to the bytes that follow, and
// fills in what of the submission depends on it. What is missing comes first;
// what is there stays as it is (RFC 6409, 8).
func (h *opening) complete(acct *store.Account, sub *store.Submission, reversePath string, now time.Time) []byte {
	var add gomail.Header
	sub.ID, sub.MessageID = newID(), h.messageID
	if h.messageID == "" {
		sub.MessageID = newMessageID(acct)
		sub.ID = idOf(sub.MessageID)
		add.SetMessageID(sub.MessageID)
	}
	sub.GivenMessageID = sub.MessageID
	if !h.has("date") {
		add.SetDate(now)
	}
	if !h.has("from") {
		from := ownAddress(acct)
		if reversePath != "" && !strings.EqualFold(reversePath, acct.Address) {
			from = sdk.Address{Email: reversePath} // who may send it was asked already
		}
		setAddresses(&add, "From", []sdk.Address{from})
	}
	var out bytes.Buffer
	for f := add.Fields(); f.Next(); {
		raw, err := f.Raw()
		if err == nil {
			out.Write(raw)
		}
	}
	for _, f := range h.fields {
		out.Write(f.Raw)
	}
	if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
		out.WriteString("\r\n") // a header that the message ends in
	}
	if h.headless {
		out.WriteString("\r\n")
	}
	return out.Bytes()
}
