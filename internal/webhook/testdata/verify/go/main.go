// Verify checks a webhook of Postern with nothing but the standard library.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const tolerance = 5 * time.Minute

// Verify checks the Standard Webhooks headers of a request over its raw body.
// secret is the endpoint's, "whsec_...".
func Verify(secret string, header http.Header, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	id, at := header.Get("webhook-id"), header.Get("webhook-timestamp")
	if err := fresh(at); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	// While a secret is being rotated there is one signature for each key.
	for _, got := range strings.Fields(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return errors.New("no signature matches")
}

// VerifyPostern checks the Postern-Signature header, "t=...,v1=...,v1=...".
func VerifyPostern(secret string, header http.Header, body []byte) error {
	var at string
	var signatures []string
	for _, part := range strings.Split(header.Get("Postern-Signature"), ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			at = value
		case "v1":
			signatures = append(signatures, value)
		}
	}
	if err := fresh(at); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", at, body)
	want := hex.EncodeToString(mac.Sum(nil))
	for _, got := range signatures {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return errors.New("no signature matches")
}

// fresh refuses requests that are old, and so may be replayed.
func fresh(timestamp string) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errors.New("no timestamp")
	}
	if age := time.Since(time.Unix(seconds, 0)).Abs(); age > tolerance {
		return fmt.Errorf("the timestamp is %s off", age)
	}
	return nil
}

// The rest makes a program of it: {"headers": {...}, "body": base64} on standard
// input, the secret in WEBHOOK_SECRET.
func main() {
	var in struct {
		Headers map[string]string
		Body    []byte
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	header := http.Header{}
	for name, value := range in.Headers {
		header.Set(name, value)
	}
	secret := os.Getenv("WEBHOOK_SECRET")
	if err := errors.Join(Verify(secret, header, in.Body), VerifyPostern(secret, header, in.Body)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("verified")
}
