package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/url"
	"strings"
	"time"
)

// Words that SEARCH is measured with: one message in a hundred has the rare one
// in its text, in any of three encodings; one in ten has the other in its
// subject.
const (
	rareWord    = "quixotry"
	subjectWord = "ledger"
)

// imapLetter is message i of the mailbox that the servers hold. The mean is
// some 15 kB, as mail with pictures left out is.
func imapLetter(i int) (raw []byte, seen bool) {
	random := rand.New(rand.NewPCG(20260301, uint64(i)))
	words := func(n int) string {
		var b strings.Builder
		line := 0
		for range n {
			w := imapWords[random.IntN(len(imapWords))]
			if line += len(w) + 1; line > 72 {
				b.WriteString("\r\n")
				line = len(w) + 1
			}
			b.WriteString(w + " ")
		}
		return b.String()
	}
	text := words(450 + random.IntN(1000))
	if i%100 == 7 {
		text += "and so much for " + rareWord + ", then.\r\n"
	}
	subject := words(5)
	if i%10 == 3 {
		subject += subjectWord
	}
	var b bytes.Buffer
	for hop := range 3 {
		fmt.Fprintf(&b, "Received: from mx%d.fabrikam.example (mx%d.fabrikam.example [192.0.2.%d])\r\n\tby in.example with ESMTPS id %x\r\n\tfor <bench@example>; Sun, 1 Mar 2026 09:00:0%d +0000 (UTC)\r\n", hop, hop, 1+hop, random.Uint64(), hop)
	}
	fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=fabrikam.example; s=k1;\r\n\tbh=%016x%016x; b=%016x%016x\r\n", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	fmt.Fprintf(&b, "From: \"Ada %d\" <ada%d@fabrikam.example>\r\nTo: bench@example, Ben <ben@contoso.example>\r\nCc: \"The list\" <list@fabrikam.example>\r\nSubject: %s\r\n", i%211, i%211, strings.Join(strings.Fields(subject), " "))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <%d.%x@fabrikam.example>\r\nIn-Reply-To: <%d@fabrikam.example>\r\nReferences: <%d@fabrikam.example>\r\n\t<%d@fabrikam.example>\r\n", imapDate(i).Format(time.RFC1123Z), i, random.Uint64(), i-1, i-2, i-1)
	fmt.Fprintf(&b, "X-Mailer: Bench 1\r\nList-Id: <list.fabrikam.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"=_%d\"\r\n\r\n", i)
	fmt.Fprintf(&b, "--=_%d\r\nContent-Type: text/plain; charset=utf-8\r\n", i)
	switch i % 3 {
	case 0:
		b.WriteString("\r\n" + text)
	case 1:
		b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		q := quotedprintable.NewWriter(&b)
		_, _ = q.Write([]byte("Grüße: " + text)) // a buffer takes everything
		_ = q.Close()
	default:
		b.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
		encoded := base64.StdEncoding.EncodeToString([]byte(text))
		for ; len(encoded) > 76; encoded = encoded[76:] {
			b.WriteString(encoded[:76] + "\r\n")
		}
		b.WriteString(encoded)
	}
	fmt.Fprintf(&b, "\r\n--=_%d\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n<p>%s</p>\r\n</body></html>\r\n\r\n--=_%d--\r\n", i, strings.ReplaceAll(words(650+random.IntN(1500)), "\r\n", "</p>\r\n<p>"), i)
	return b.Bytes(), i%3 != 0
}

var imapWords = strings.Fields(`the of and to in is you that it he was for on are as with his they at be this from have or by one had not but what all were
	when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him
	see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where
	most know meeting minutes agenda invoice figures quarter review contract shipment delivery schedule proposal budget estimate engine analytical cards mill store`)

// imapDate is when message i arrived.
func imapDate(i int) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
}

// expected is what a server that holds n of them must tell.
type expected struct {
	n, unseen, rare, subject int
	bytes                    int64
	// bodies is the tally of UID FETCH 1:* (BODY.PEEK[]), sizes in it.
	bodies tally
}

func expectedOf(n int) expected {
	e := expected{n: n}
	for i := range n {
		raw, seen := imapLetter(i)
		if !seen {
			e.unseen++
		}
		if i%100 == 7 {
			e.rare++
		}
		if i%10 == 3 {
			e.subject++
		}
		e.bytes += int64(len(raw))
		uid := uint64(i + 1)
		e.bodies.count++
		e.bodies.uids += mix(uid, 1)
		e.bodies.sizes += mix(uint64(len(raw)), uid)
		e.bodies.text += mix(maphash.Bytes(imapHash, raw), uid)
	}
	return e
}

// deliverLetters puts messages from..to into a user's inbox at the provider.
func (w *world) deliverLetters(ctx context.Context, address string, from, to int) error {
	_, err := loop(4, from, to, func(_, i int) error {
		raw, seen := imapLetter(i)
		q := url.Values{"notify": {"false"}, "date": {imapDate(i).Format(time.RFC3339)}}
		if seen {
			q.Set("keywords", "$seen")
		}
		return w.control(ctx, "POST", "/control/users/"+address+"/messages?"+q.Encode(), raw, nil)
	})
	return err
}
