package imapd

import (
	"encoding/base64"
	"testing"
)

// TestBearerOfADeadGrant: only of a token that is not taken a program is told that
// its token is invalid, for then it throws the token away and asks its owner.
func TestBearerOfADeadGrant(t *testing.T) {
	w := newWorld(t)
	for mechanism, message := range map[string]string{
		"OAUTHBEARER": "n,a=gone@example.com,\x01auth=Bearer x\x01\x01",
		"XOAUTH2":     "user=gone@example.com\x01auth=Bearer x\x01\x01",
	} {
		p := w.dial()
		p.until("* OK")
		p.send("a AUTHENTICATE " + mechanism + " " + base64.StdEncoding.EncodeToString([]byte(message)) + "\r\nb NOOP\r\n")
		line, err := p.line()
		if err != nil {
			t.Fatal(err)
		}
		p.says("a NO [UNAVAILABLE] ", []string{line})
		p.says("b OK", p.until("b "))
	}
}
