package submission

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
)

const (
	// earlyFor is how long after storing a copy a program may take to send it.
	earlyFor = 15 * time.Minute
	// earlyMax is how many such copies are remembered, the latest: all are written
	// down anew with each. Who stores a whole archive in Sent sends none of it.
	earlyMax = 200
	// earlySetting is where they are kept.
	earlySetting = "submission/early_copies"
)

// earlyCopy is one that was stored in Sent before its message was sent. It is
// noted on disk, so that a gateway that is killed between the two knows of it.
// Nothing of the message stands in the note: accounts are erased, and it is not.
type earlyCopy struct {
	// Key is of account and Message-ID.
	Key     string    `json:"key"`
	Message string    `json:"message"` // our id
	Size    int64     `json:"size"`
	At      time.Time `json:"at"`
}

func earlyKey(account, messageID string) string {
	sum := sha256.Sum256([]byte(account + "\x00" + messageID))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// earlyCopies reads those that are noted, the oldest first.
func earlyCopies(tx store.Tx) (list []earlyCopy, err error) {
	raw, err := tx.Setting(earlySetting)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read copies stored early: %w", err)
	}
	return list, nil
}

func putEarlyCopies(tx store.Tx, list []earlyCopy) error {
	if len(list) == 0 {
		return tx.DeleteSetting(earlySetting)
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("note copies stored early: %w", err)
	}
	return tx.PutSetting(earlySetting, raw)
}

// addEarly notes one.
func (s *Service) addEarly(ctx context.Context, c earlyCopy) error {
	return s.store.Update(ctx, func(tx store.Tx) error {
		list, err := earlyCopies(tx)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(old earlyCopy) bool { return old.Key == c.Key || c.At.Sub(old.At).Abs() > earlyFor })
		if list = append(list, c); len(list) > earlyMax {
			list = list[len(list)-earlyMax:]
		}
		return putEarlyCopies(tx, list)
	})
}

// takeEarly gives the one of a key, and forgets it; nil where there is none.
func (s *Service) takeEarly(ctx context.Context, key string) (found *earlyCopy, err error) {
	take := func(tx store.Tx) (rest []earlyCopy, err error) {
		found = nil
		rest, err = earlyCopies(tx)
		if i := slices.IndexFunc(rest, func(c earlyCopy) bool { return c.Key == key }); i >= 0 {
			c := rest[i]
			found, rest = &c, slices.Delete(rest, i, i+1)
		}
		return rest, err
	}
	err = s.store.View(ctx, func(tx store.Tx) error {
		_, err := take(tx)
		return err
	})
	if err != nil || found == nil {
		return nil, err // as of nearly all that is sent
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		rest, err := take(tx)
		if err != nil || found == nil {
			return err
		}
		return putEarlyCopies(tx, rest)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
