package graph

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// A syncToken is what a delta or next link carries: a place in a log and the
// options of the first request, which hold for all that follow. Clients get it
// sealed, so that nobody reads or makes one.
type syncToken struct {
	User       string        `json:"u"`
	Generation int           `json:"g"`
	Issued     int64         `json:"i"`
	Folder     uint64        `json:"f"` // whose messages or, for folders, whose subtree
	Folders    bool          `json:"d,omitempty"`
	From       int32         `json:"a"` // log entries before it are known
	To         int32         `json:"b"` // and this round ends before this one
	Pos        int           `json:"p,omitempty"`
	Empty      bool          `json:"e,omitempty"` // the round's empty page was given
	FolderSeq  uint64        `json:"s,omitempty"`
	Options    []tokenOption `json:"o,omitempty"`
}

type tokenOption struct {
	Name  string `json:"n"`
	Value string `json:"v"`
}

func (s *Server) tokenCipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.sealKey[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (s *Server) sealToken(t syncToken) (string, error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	aead, err := s.tokenCipher()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	b := aead.Seal(nonce, nonce, plain, nil)
	cut := len(b) - 32 // two parts, as recorded
	return base64.RawURLEncoding.EncodeToString(b[:cut]) + "." + base64.RawURLEncoding.EncodeToString(b[cut:]), nil
}

// openToken refuses what is no token of this mailbox and collection with 400,
// and what has grown old or was forgotten with 410.
func (c *call) openToken(text string, folder uint64, folders bool) (syncToken, error) {
	var t syncToken
	head, tail, _ := strings.Cut(text, ".")
	a, err1 := base64.RawURLEncoding.DecodeString(head)
	b, err2 := base64.RawURLEncoding.DecodeString(tail)
	aead, err3 := c.s.tokenCipher()
	if err1 != nil || err2 != nil || err3 != nil || len(a) < aead.NonceSize() {
		return t, errSyncInvalid()
	}
	sealed := append(a, b...)
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil || json.Unmarshal(plain, &t) != nil || t.User != c.mb.user.ID || t.Folder != folder || t.Folders != folders {
		return t, errSyncInvalid()
	}
	age := c.now.Sub(time.Unix(t.Issued, 0))
	if t.Generation != c.mb.generation || c.s.set.DeltaTokenLifetime > 0 && age > c.s.set.DeltaTokenLifetime {
		return t, errSyncState(t.Generation)
	}
	return t, nil
}
