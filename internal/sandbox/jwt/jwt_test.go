package jwt_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/jwt"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

type claims struct {
	Sub string `json:"sub"`
}

// TestSignAndRead: a token verifies by the key that signed it and by no other,
// and not when it was changed.
func TestSignAndRead(t *testing.T) {
	s, err := jwt.Of(worldtest.Key(t), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign(claims{"alan"})
	if err != nil {
		t.Fatal(err)
	}
	var got claims
	if err := s.Verify(token, &got); err != nil || got.Sub != "alan" {
		t.Errorf("verified %+v, %v", got, err)
	}
	j, err := jwt.Read(token)
	if err != nil || j.Header.Alg != "RS256" || j.Header.Kid != s.Kid || j.VerifiedBy(&s.Key.PublicKey) != nil {
		t.Errorf("read %+v, %v", j, err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if j.VerifiedBy(&stranger.PublicKey) == nil {
		t.Error("another's key verifies")
	}
	parts := strings.Split(token, ".")
	changed := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"mary"}`))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for name, bad := range map[string]string{
		"changed":   parts[0] + "." + changed + "." + parts[2],
		"unsigned":  none + "." + parts[1] + ".",
		"two parts": parts[0] + "." + parts[1],
		"header":    "?." + parts[1] + "." + parts[2],
		"no JSON":   changed[:4] + "." + parts[1] + "." + parts[2],
		"payload":   parts[0] + ".?." + parts[2],
		"signature": parts[0] + "." + parts[1] + ".?",
	} {
		if err := s.Verify(bad, &got); err == nil {
			t.Errorf("%s: it verifies", name)
		}
	}
}

// TestPS256: clients may sign so.
func TestPS256(t *testing.T) {
	key := worldtest.Key(t)
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"PS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`))
	h := crypto.SHA256.New()
	h.Write([]byte(input))
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		t.Fatal(err)
	}
	j, err := jwt.Read(input + "." + base64.RawURLEncoding.EncodeToString(sig))
	if err != nil || j.VerifiedBy(&key.PublicKey) != nil {
		t.Errorf("PS256: %v", err)
	}
}

// TestKeyIsKept: as text, and in a key set.
func TestKeyIsKept(t *testing.T) {
	s, err := jwt.Of(worldtest.Key(t), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	again, err := jwt.Parse(text, time.Now())
	if err != nil || !again.Key.Equal(s.Key) {
		t.Errorf("parsed %v", err)
	}
	for _, bad := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := jwt.Parse([]byte(bad), time.Now()); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
	k := s.JWK()
	n, err := base64.RawURLEncoding.DecodeString(k["n"].(string))
	if err != nil || new(big.Int).SetBytes(n).Cmp(s.Key.N) != 0 || k["e"] != "AQAB" || k["kid"] != s.Kid {
		t.Errorf("key set %v, %v", k, err)
	}
}
