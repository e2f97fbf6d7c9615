package gmail

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// Page tokens say where the page before ended, so that what is added or
// deleted between two pages neither doubles nor hides anything else. They carry
// a check: a token that was never given is refused.

// pageToken makes a token of a kind of list.
func pageToken(kind, position string) string {
	return hex.EncodeToString(fmt.Appendf(nil, "%s%08x", position, crc32.ChecksumIEEE([]byte(kind+" "+position))))
}

// readPageToken gives the position of a token; "" is the beginning.
func readPageToken(kind, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	b, err := hex.DecodeString(token)
	if err == nil && len(b) > 8 {
		if position := string(b[:len(b)-8]); pageToken(kind, position) == token {
			return position, nil
		}
	}
	return "", errInvalid("Invalid pageToken")
}

// messagePosition is where a message stands in a list.
func messagePosition(m *Message) string {
	return strconv.FormatInt(m.InternalDate.UnixMilli(), 10) + "." + m.ID
}

// after reports whether a message stands behind a position.
func after(position string) (func(*Message) bool, error) {
	if position == "" {
		return func(*Message) bool { return true }, nil
	}
	ms, id, _ := strings.Cut(position, ".")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return nil, errInvalid("Invalid pageToken")
	}
	last := &Message{ID: id, InternalDate: time.UnixMilli(n).UTC()}
	return func(m *Message) bool { return older(m, last) < 0 }, nil
}

// page cuts a list of messages, newest first, to the page that a call wants.
func (c *call) page(kind string, ms []*Message) (page []*Message, next string, err error) {
	position, err := readPageToken(kind, c.query.Get("pageToken"))
	if err != nil {
		return nil, "", err
	}
	behind, err := after(position)
	if err != nil {
		return nil, "", err
	}
	from := 0
	for from < len(ms) && !behind(ms[from]) {
		from++
	}
	page = ms[from:]
	if n := c.limit(100, 500); len(page) > n {
		page = page[:n]
		next = pageToken(kind, messagePosition(page[n-1]))
	}
	return page, next, nil
}

// An attachment's id is long and another one with each get; every one that was
// given finds its part until the server ends. It seals message and part.

// attachmentID makes an id for a part.
func (s *Server) attachmentID(message, part string) string {
	plain := make([]byte, 160, 224)
	_, _ = rand.Read(plain) // never fails since Go 1.24
	plain = append(plain, message+" "+part...)
	mac := hmac.New(sha256.New, s.key[:])
	_, _ = mac.Write(plain) // never fails
	return "ANGjdJ" + base64.RawURLEncoding.EncodeToString(mac.Sum(plain))
}

// readAttachmentID gives the part that an id of the message's names.
func (s *Server) readAttachmentID(message, id string) (part string, err error) {
	bad := errInvalid("Invalid attachment token")
	rest, ok := strings.CutPrefix(id, "ANGjdJ")
	b, err := base64.RawURLEncoding.DecodeString(rest)
	if !ok || err != nil || len(b) < 160+sha256.Size {
		return "", bad
	}
	plain := b[:len(b)-sha256.Size]
	mac := hmac.New(sha256.New, s.key[:])
	_, _ = mac.Write(plain) // never fails
	if !hmac.Equal(mac.Sum(nil), b[len(plain):]) {
		return "", bad
	}
	owner, part, _ := strings.Cut(string(plain[160:]), " ")
	if owner != message {
		return "", bad
	}
	return part, nil
}
