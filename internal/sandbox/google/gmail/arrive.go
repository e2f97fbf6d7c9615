package gmail

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// mxName is what the server is called that takes mail in for Gmail.
const mxName = "mx.google.com"

// arrive puts in front of a message what Gmail's servers write when they take
// it in: whom it was delivered to, their trace fields, the ARC set (RFC 8617)
// and the results of its checks (RFC 8601). What came stays byte for byte
// behind that. The signatures are well formed and sign nothing.
func arrive(raw []byte, to string, now time.Time, rnd *rand.Rand) []byte {
	h, _ := mimetree.ParseHeader(raw)
	from := ""
	if rs := mimetree.ParseAddresses(h.Get("Return-Path"), ""); len(rs) > 0 {
		from = rs[0].Address
	}
	author := ""
	if rs := mimetree.ParseAddresses(h.Get("From"), ""); len(rs) > 0 {
		_, author, _ = strings.Cut(rs[0].Address, "@")
	}
	_, domain, _ := strings.Cut(from, "@")
	var seed [24]byte
	for i := range seed {
		seed[i] = byte(rnd.Uint32())
	}
	token := hex.EncodeToString(seed[:])
	date := now.In(time.FixedZone("PST", -8*60*60)).Format("Mon, 02 Jan 2006 15:04:05 -0700 (MST)")
	body := sha256.Sum256(raw)
	sign := base64.StdEncoding.EncodeToString(append(seed[:], body[:]...))
	results := fmt.Sprintf("%s;\r\n       spf=pass (google.com: domain of %s designates 192.0.2.25 as permitted sender) smtp.mailfrom=%s;\r\n"+
		"       dmarc=none header.from=%s", mxName, ascii(from), ascii(from), ascii(author))
	if from == "" {
		results = fmt.Sprintf("%s;\r\n       spf=none (google.com: %s does not designate permitted sender hosts) smtp.helo=postmaster@%s", mxName, mxName, mxName)
	}
	spf, _, _ := strings.Cut(strings.TrimPrefix(results, mxName+";\r\n       spf="), ";\r\n")

	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("Delivered-To: %s", to)
	line("Received: by 2002:a05:%s:%s:b0:%s:%s with SMTP id %s;\r\n        %s", token[:4], token[4:7], token[7:10], token[10:14], token[14:30], date)
	line("X-Google-Smtp-Source: AGHT+I%s", base64.RawStdEncoding.EncodeToString(seed[:]))
	line("X-Received: by 2002:a17:%s:%s:b0:%s:%s with SMTP id %s;\r\n        %s", token[30:33], token[33:36], token[36:39], token[39:43], token[20:36], date)
	line("ARC-Seal: i=1; a=rsa-sha256; t=%d; cv=none;\r\n        d=google.com; s=arc-20240605;\r\n        b=%s", now.Unix(), sign)
	line("ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=google.com; s=arc-20240605;\r\n"+
		"        h=message-id:date:subject:to:from;\r\n        bh=%s;\r\n        b=%s;\r\n        dara=google.com", base64.StdEncoding.EncodeToString(body[:]), sign)
	line("ARC-Authentication-Results: i=1; %s", results)
	if !h.Has("Return-Path") {
		line("Return-Path: <%s>", ascii(from))
	}
	line("Received: from %s (%s. [192.0.2.25])\r\n        by %s with ESMTPS id %s.%d\r\n        for <%s>\r\n"+
		"        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n        %s", orLocal(domain), orLocal(domain), mxName, token[:40], now.Unix()%1000, to, date)
	line("Received-SPF: %s", spf)
	line("Authentication-Results: %s", results)
	return append([]byte(b.String()), raw...)
}

// ascii keeps what came from outside from making fields of its own.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
}

// orLocal is a domain, or the name of a host that gave none.
func orLocal(domain string) string {
	if d := ascii(domain); d != "" {
		return d
	}
	return "localhost"
}
