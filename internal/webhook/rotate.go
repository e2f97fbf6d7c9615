package webhook

import (
	"context"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Bounds of what concerns keys.
const (
	// DefaultOverlap is how long a key signs after it was rotated out, and
	// maxOverlap how long at the most.
	DefaultOverlap = 24 * time.Hour
	maxOverlap     = 90 * 24 * time.Hour
	// maxKeys bounds the signatures of one request.
	maxKeys = 5
)

// Rotate says how a key is replaced.
type Rotate struct {
	// Signature is the kind of the new key; empty for the endpoint's.
	Signature Signature
	// Overlap is how long the former keys go on signing, nil for the setting
	// webhooks.key_overlap. Zero ends them at once.
	Overlap *time.Duration
}

// RotateSecret gives an endpoint a new key. The former ones sign too for a
// while, so that receivers can change at leisure. secret is empty where the
// new key has a public half: nobody else needs the private one.
func (s *Service) RotateSecret(ctx context.Context, id string, in Rotate) (e *Endpoint, secret string, err error) {
	const op = "rotate secret"
	if in.Signature != "" && !in.Signature.valid() {
		return nil, "", mail.Errorf(mail.KindInvalid, op, "there is no signature %q, only hmac and ed25519", in.Signature)
	}
	overlap := s.opts.Overlap
	if in.Overlap != nil {
		overlap = *in.Overlap
	}
	if overlap < 0 || overlap > maxOverlap {
		return nil, "", mail.Errorf(mail.KindInvalid, op, "the overlap must be from 0 to %d days", maxOverlap/(24*time.Hour))
	}
	e, err = s.modify(ctx, op, id, s.queue.Refresh, func(_ store.Tx, _ *store.Endpoint, c *config) error {
		if in.Signature != "" {
			c.Signature = in.Signature
		}
		k, err := s.rotate(op, c, overlap)
		secret = shown(k)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return e, secret, nil
}

// firstKey is the key of a new endpoint.
func firstKey(op string, kind Signature, secret string, now time.Time) (k signingKey, err error) {
	switch {
	case secret == "":
		k, err = newKey(kind, now)
	case kind != SignatureHMAC:
		err = mail.Errorf(mail.KindInvalid, op, "only HMAC has a secret; an Ed25519 key is made here")
	default:
		k, err = bring(op, secret)
		k.Created = now
	}
	return k, err
}

// shown is what the owner must be told of a new key.
func shown(k signingKey) string {
	if k.kind() == SignatureEd25519 {
		return ""
	}
	return k.Secret
}

// rotate puts a new key of the endpoint's kind in front and lets the others
// sign for overlap, or as long as they had anyway.
func (s *Service) rotate(op string, c *config, overlap time.Duration) (signingKey, error) {
	now := s.opts.Now().UTC()
	fresh, err := newKey(c.Signature, now)
	if err != nil {
		return fresh, err
	}
	keys, end := []signingKey{fresh}, now.Add(overlap)
	for _, k := range c.active(now) {
		if k.Until.IsZero() || k.Until.After(end) {
			k.Until = end
		}
		if k.signs(now) {
			keys = append(keys, k)
		}
	}
	if len(keys) > maxKeys {
		return fresh, mail.Errorf(mail.KindConflict, op, "%d keys sign already; expire one of them, or wait until %s",
			len(keys)-1, keys[len(keys)-1].Until.Format(time.RFC3339))
	}
	c.Keys = keys
	return fresh, nil
}

// resign changes the kind of key that an endpoint signs with.
func (s *Service) resign(op string, c *config, to Signature) error {
	if !to.valid() {
		return mail.Errorf(mail.KindInvalid, op, "there is no signature %q, only hmac and ed25519", to)
	}
	if to == SignatureHMAC {
		return mail.Errorf(mail.KindInvalid, op, "a new secret must be shown: use rotateEndpointSecret(signature: HMAC)")
	}
	c.Signature = to
	_, err := s.rotate(op, c, s.opts.Overlap)
	return err
}

// ExpireKey ends a key at once. The one key that would be left with nobody to
// sign beside it stays: rotate it with no overlap instead.
func (s *Service) ExpireKey(ctx context.Context, id, key string) (*Endpoint, error) {
	const op = "expire key"
	return s.modify(ctx, op, id, s.queue.Refresh, func(_ store.Tx, _ *store.Endpoint, c *config) error {
		now := s.opts.Now().UTC()
		var keys []signingKey
		found, lasting := false, false
		for _, k := range c.active(now) {
			if k.id == key {
				found = true
				continue
			}
			lasting = lasting || k.Until.IsZero()
			keys = append(keys, k)
		}
		switch {
		case !found:
			return mail.Errorf(mail.KindNotFound, op, "the endpoint has no active key %q", key)
		case !lasting:
			return mail.Errorf(mail.KindConflict, op, "%s is the key that signs from now on; rotate it with an overlap of 0 instead", key)
		}
		c.Keys = keys
		return nil
	})
}
