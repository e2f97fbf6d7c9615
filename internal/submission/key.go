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

// keyed is what an idempotency key is given with.
type keyed struct {
	account, key, print string
	// retry: what failed or was cancelled does not count. Who was told so tries
	// again to have it sent.
	retry bool
}

// byKey finds the submission that an idempotency key stands for, nil where it
// stands for none (any more). The same key with another message is refused:
// one of the two would never be sent.
func (s *Service) byKey(tx store.Tx, k keyed) (*store.Submission, error) {
	if k.key == "" {
		return nil, nil
	}
	old, err := tx.SubmissionByKey(k.account, k.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil || !s.now().Before(old.CreatedAt.Add(s.opts.KeyLife)) {
		return nil, err
	}
	if k.retry && (old.State == store.SubmissionFailed || old.State == store.SubmissionCancelled) {
		return nil, nil
	}
	if old.Fingerprint != "" && old.Fingerprint != k.print {
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
