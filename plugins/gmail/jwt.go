package gmail

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxToken is far longer than a token of Pub/Sub, which has about 1 KiB.
	maxToken = 16 << 10
	// maxCerts bounds the list of keys; Google's has two.
	maxCerts = 1 << 20
	// minKeyBits is what RFC 7518, 3.3 asks of RS256.
	minKeyBits = 2048
	// leeway is how far our clock and Google's may be apart.
	leeway = time.Minute
	// certsLife is how long keys count where no Cache-Control says so, certsMax
	// how long at most, whatever it says.
	certsLife = time.Hour
	certsMax  = 24 * time.Hour
	// certsPause lies between two requests for the keys, certsRetry where the
	// first one failed: anybody may send a token with any key id.
	certsPause = time.Minute
	certsRetry = 5 * time.Second
	// certsTimeout is shorter than Pub/Sub waits for an answer (10 s).
	certsTimeout = 8 * time.Second
)

// errToken is every token that is not good; which rule it broke is for the log.
type errToken string

func (e errToken) Error() string { return "the token is refused: " + string(e) }

// claims of an OpenID token that Pub/Sub pushes with.
type claims struct {
	Issuer        string    `json:"iss"`
	Audience      audiences `json:"aud"`
	Email         string    `json:"email"`
	EmailVerified flexBool  `json:"email_verified"`
	Expires       float64   `json:"exp"`
	IssuedAt      float64   `json:"iat"`
}

// audiences is one string, or a list of them (RFC 7519, 4.1.3).
type audiences []string

func (a *audiences) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// flexBool is true or "true": OpenID providers have written both.
type flexBool bool

func (b *flexBool) UnmarshalJSON(data []byte) error {
	*b = flexBool(string(data) == "true" || string(data) == `"true"`)
	return nil
}

// parsedToken is a token in the compact form of RFC 7515, 7.1, not verified.
type parsedToken struct {
	kid       string
	claims    claims
	signed    string
	signature []byte
}

func parseToken(token string) (*parsedToken, error) {
	if len(token) > maxToken {
		return nil, errToken("too long")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errToken("not three parts")
	}
	var header struct {
		Algorithm string   `json:"alg"`
		KeyID     string   `json:"kid"`
		Critical  []string `json:"crit"`
	}
	t := &parsedToken{signed: parts[0] + "." + parts[1]}
	if err := decodePart(parts[0], &header); err != nil {
		return nil, errToken("unreadable header")
	}
	// The algorithm is ours to choose, never the token's (RFC 8725, 3.1).
	if header.Algorithm != "RS256" || len(header.Critical) > 0 || header.KeyID == "" {
		return nil, errToken("not RS256 with a key id")
	}
	if err := decodePart(parts[1], &t.claims); err != nil {
		return nil, errToken("unreadable claims")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, errToken("unreadable signature")
	}
	t.kid, t.signature = header.KeyID, signature
	return t, nil
}

func decodePart(part string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func (t *parsedToken) verify(key *rsa.PublicKey) error {
	sum := sha256.Sum256([]byte(t.signed))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], t.signature); err != nil {
		return errToken("wrong signature")
	}
	return nil
}

// timely: the token counts now. Without an end, or without a beginning, it
// never does.
func (c *claims) timely(now time.Time) error {
	at := float64(now.UnixNano()) / float64(time.Second)
	switch {
	case c.Expires <= 0 || at > c.Expires+leeway.Seconds():
		return errToken("expired")
	case c.IssuedAt <= 0 || at < c.IssuedAt-leeway.Seconds():
		return errToken("not valid yet")
	}
	return nil
}

// keySet are Google's public keys, as certs_url lists them (RFC 7517). They are
// kept for as long as the answer allows, and asked for once for all who wait.
type keySet struct {
	url  string
	http *http.Client
	now  func() time.Time

	mu     sync.Mutex
	keys   map[string]*rsa.PublicKey
	until  time.Time
	asked  time.Time // when the last request began
	err    error     // what came of it
	flight chan struct{}
}

func newKeySet(url string, client *http.Client, now func() time.Time) *keySet {
	return &keySet{url: url, http: client, now: now}
}

// key finds a key. errToken says that there is none of this id, another error
// that the keys could not be asked for.
func (s *keySet) key(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	for {
		s.mu.Lock()
		now := s.now()
		fresh := now.Before(s.until)
		key := s.keys[kid]
		switch {
		case fresh && key != nil:
			s.mu.Unlock()
			return key, nil
		case s.flight != nil:
			flight := s.flight
			s.mu.Unlock()
			select {
			case <-flight:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case s.resting(now):
			err := s.err
			s.mu.Unlock()
			if err != nil {
				return nil, err
			}
			return nil, errToken("unknown key id")
		}
		s.asked, s.flight = now, make(chan struct{})
		s.mu.Unlock()
		s.fetch(ctx)
	}
}

// resting: the keys were asked for a moment ago. A clock that was set back ends
// it.
func (s *keySet) resting(now time.Time) bool {
	pause := certsPause
	if s.err != nil {
		pause = certsRetry
	}
	since := now.Sub(s.asked)
	return !s.asked.IsZero() && since >= 0 && since < pause
}

// fetch asks for the keys, on behalf of all who wait: that the first of them
// gives up is no reason to let the others down.
func (s *keySet) fetch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), certsTimeout)
	defer cancel()
	keys, life, err := s.get(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.keys, s.until = keys, s.asked.Add(max(life, certsPause))
	}
	close(s.flight)
	s.flight = nil
}

func (s *keySet) get(ctx context.Context) (map[string]*rsa.PublicKey, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("ask for signing keys: %w", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("ask for signing keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("ask for signing keys: %s", resp.Status)
	}
	var doc struct {
		Keys []struct {
			Type, Use, Alg string
			ID             string `json:"kid"`
			N, E           string
		} `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxCerts)).Decode(&doc); err != nil {
		return nil, 0, fmt.Errorf("read signing keys: %w", err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range doc.Keys {
		if k.ID == "" || k.Use != "" && k.Use != "sig" || k.Alg != "" && k.Alg != "RS256" {
			continue
		}
		if key := rsaKey(k.N, k.E); key != nil {
			keys[k.ID] = key
		}
	}
	if len(keys) == 0 {
		return nil, 0, errors.New("read signing keys: there is none")
	}
	return keys, cacheLife(resp.Header.Get("Cache-Control")), nil
}

// rsaKey reads a key (RFC 7518, 6.3.1), nil where it is none, or a weak one.
func rsaKey(modulus, exponent string) *rsa.PublicKey {
	n, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(modulus, "="))
	if err != nil {
		return nil
	}
	e, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(exponent, "="))
	if err != nil || len(e) == 0 || len(e) > 4 {
		return nil
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if key.N.BitLen() < minKeyBits || key.E < 3 || key.E%2 == 0 {
		return nil
	}
	return key
}

// cacheLife reads max-age (RFC 9111, 5.2.2.1).
func cacheLife(control string) time.Duration {
	for _, d := range strings.Split(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64); err == nil && n >= 0 {
				return min(time.Duration(min(n, int64(certsMax/time.Second)))*time.Second, certsMax)
			}
		}
	}
	return certsLife
}
