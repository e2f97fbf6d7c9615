package submission

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// byKey finds the submission that an idempotency key stands for, nil where it
// stands for none (any more). The same key with another message is refused:
// one of the two would never be sent.
func (s *Service) byKey(tx store.Tx, in *Input, print string) (*store.Submission, error) {
	if in.IdempotencyKey == "" {
		return nil, nil
	}
	old, err := tx.SubmissionByKey(in.Account, in.IdempotencyKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil || !s.now().Before(old.CreatedAt.Add(s.opts.KeyLife)) {
		return nil, err
	}
	if old.Fingerprint != "" && old.Fingerprint != print {
		return nil, mail.Errorf(mail.KindConflict, "submit message", "the idempotency key stands for another message, submitted at %s", old.CreatedAt.Format(time.RFC3339))
	}
	return old, nil
}

// fingerprint is a digest of all that a caller gives: the bytes made of it
// have a date and a Message-ID of their own every time.
func fingerprint(in *Input) string {
	given := struct {
		Message
		Raw    []byte
		SendAt time.Time
	}{in.Message, digest(in.Raw), in.SendAt.UTC()}
	given.Attachments = make([]Attachment, len(in.Attachments))
	for i, a := range in.Attachments {
		a.Content = digest(a.Content)
		given.Attachments[i] = a
	}
	b, _ := json.Marshal(given) // strings, times and bytes: cannot fail
	return hex.EncodeToString(digest(b))
}

func digest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
