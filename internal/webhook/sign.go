package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
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
	// HeaderReplay names the replay job that sends a delivery once more.
	HeaderReplay = "Webhook-Replay"
)

// sign gives the values of both signature headers, with one signature for each
// key, newest first.
//
// Standard Webhooks, "Signature scheme": over "id.timestamp.body", separated
// by spaces. "v1," and base64 of HMAC-SHA256 with the bytes that the secret
// encodes; "v1a," and base64 of Ed25519 (RFC 8032).
//
// Postern-Signature: "t=timestamp", then ",v1=" and hex of HMAC-SHA256 over
// "timestamp.body" with the secret's own characters, as Stripe's libraries
// check it. It is empty where no key is a secret.
func sign(keys []signingKey, id string, at int64, body []byte) (standard, postern string) {
	t := strconv.FormatInt(at, 10)
	var std, own strings.Builder
	for i, k := range keys {
		if i > 0 {
			std.WriteByte(' ')
		}
		if k.private != nil {
			message := make([]byte, 0, len(id)+len(t)+len(body)+2)
			message = append(append(message, id+"."+t+"."...), body...)
			std.WriteString("v1a,")
			std.WriteString(base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, message)))
			continue
		}
		std.WriteString("v1,")
		std.WriteString(base64.StdEncoding.EncodeToString(mac(k.raw, id, ".", t, ".", body)))
		own.WriteString(",v1=")
		own.WriteString(hex.EncodeToString(mac([]byte(k.Secret), "", "", t, ".", body)))
	}
	if own.Len() > 0 {
		postern = "t=" + t + own.String()
	}
	return std.String(), postern
}

func mac(key []byte, id, dot, t, dot2 string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + dot + t + dot2))
	h.Write(body)
	return h.Sum(nil)
}
