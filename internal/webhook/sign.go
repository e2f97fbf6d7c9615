package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Headers of every request.
const (
	// Standard Webhooks, "Webhook metadata".
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
	// HeaderPostern is a signature in the manner of Stripe.
	HeaderPostern = "Postern-Signature"
	// HeaderPrevious is the sequence of the lane's delivery before this one.
	HeaderPrevious = "Postern-Previous"
)

// sign gives the values of both signature headers, with one signature for each
// key, newest first.
//
// Standard Webhooks: "v1," and base64 of HMAC-SHA256 over "id.timestamp.body"
// with the bytes that the secret encodes, separated by spaces.
//
// Postern-Signature: "t=timestamp", then ",v1=" and hex of HMAC-SHA256 over
// "timestamp.body" with the secret's own characters, as Stripe's libraries
// check it.
func sign(keys []signingKey, id string, at int64, body []byte) (standard, postern string) {
	t := strconv.FormatInt(at, 10)
	var std, own strings.Builder
	own.WriteString("t=" + t)
	for i, k := range keys {
		if i > 0 {
			std.WriteByte(' ')
		}
		std.WriteString("v1,")
		std.WriteString(base64.StdEncoding.EncodeToString(mac(k.raw, id, ".", t, ".", body)))
		own.WriteString(",v1=")
		own.WriteString(hex.EncodeToString(mac([]byte(k.Secret), "", "", t, ".", body)))
	}
	return std.String(), own.String()
}

func mac(key []byte, id, dot, t, dot2 string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + dot + t + dot2))
	h.Write(body)
	return h.Sum(nil)
}

// active are the keys that sign at a time. There is always a current one.
func (c *config) active(at time.Time) []signingKey {
	keys := make([]signingKey, 0, len(c.Keys))
	for _, k := range c.Keys {
		if k.Until.IsZero() || k.Until.After(at) {
			keys = append(keys, k)
		}
	}
	return keys
}
