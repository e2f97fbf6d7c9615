package imapd

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lines reads responses: a line with its literals, which stand in it as
// "{3}\r\nabc".
type lines struct{ r *bufio.Reader }

func newLines(r io.Reader) *lines { return &lines{bufio.NewReader(r)} }

func (l *lines) line() (string, error) {
	var b strings.Builder
	for {
		s, err := l.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if s, ok := strings.CutSuffix(s, "\r\n"); !ok {
			return "", fmt.Errorf("a line ends without CR: %q", s)
		} else if b.WriteString(s); !strings.HasSuffix(s, "}") {
			return b.String(), nil
		} else if n, err := strconv.Atoi(strings.Trim(s[strings.LastIndexByte(s, '{'):], "{}")); err != nil {
			return b.String(), nil
		} else {
			b.WriteString("\r\n")
			if _, err := io.CopyN(&b, l.r, int64(n)); err != nil {
				return "", err
			}
		}
	}
}

// ended reports whether an error says that the other end has closed the
// connection. Which error that is depends on what was on its way.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// run plays a transcript over a connection and tells how the server strays
// from it. Lines are
//
//	C: text      the client sends text and CRLF
//	B: "text"    the client sends the bytes of a Go string
//	S: pattern   the server sends such a line; * in it is anything
//	S: ...       any lines up to the one that comes next
//	N: pattern   the server never sends such a line
//	X:           the server closes
//	M: n         n messages are delivered to INBOX
func run(c net.Conn, script string, deliver func(n int)) error {
	defer c.Close()
	in := newLines(c)
	var never []string
	var steps [][2]string
	for _, row := range strings.Split(strings.TrimSpace(script), "\n") {
		if strings.TrimSpace(row) == "" {
			continue
		}
		kind, text, _ := strings.Cut(strings.TrimLeft(row, "\t "), ":")
		text = strings.TrimPrefix(text, " ")
		if kind == "N" {
			never = append(never, text)
			continue
		}
		steps = append(steps, [2]string{kind, text})
	}
	var told []string
	read := func() (string, error) {
		line, err := in.line()
		if err != nil {
			return "", fmt.Errorf("after %q: %w", told, err)
		}
		told = append(told, line)
		for _, n := range never {
			if matches(n, line) {
				return "", fmt.Errorf("the server says %q", line)
			}
		}
		return line, nil
	}
	skip := false
	for i, step := range steps {
		switch kind, text := step[0], step[1]; kind {
		case "C":
			if _, err := io.WriteString(c, text+"\r\n"); err != nil {
				return err
			}
		case "B":
			b, err := strconv.Unquote(text)
			if err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
			if _, err := io.WriteString(c, b); err != nil {
				return err
			}
		case "M":
			n, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			deliver(n)
		case "S":
			if text == "..." {
				skip = true
				continue
			}
			for {
				line, err := read()
				if err != nil {
					return fmt.Errorf("waiting for %q: %w", text, err)
				}
				if matches(text, line) {
					break
				}
				if !skip {
					return fmt.Errorf("got %q, want %q", line, text)
				}
			}
			skip = false
		case "X":
			for {
				if _, err := read(); err != nil && ended(err) {
					break
				} else if err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("step %d is none: %q", i, kind)
		}
	}
	return nil
}

// matches compares with a pattern in which * is anything. A pattern's \r\n are
// a literal's.
func matches(pattern, line string) bool {
	parts := strings.Split(strings.ReplaceAll(pattern, `\r\n`, "\r\n"), "*")
	// A response starts with a star of its own.
	if strings.HasPrefix(pattern, "* ") {
		parts = parts[1:]
		parts[0] = "*" + parts[0]
	}
	if !strings.HasPrefix(line, parts[0]) {
		return false
	}
	line = line[len(parts[0]):]
	for i, p := range parts[1:] {
		if i == len(parts)-2 {
			return strings.HasSuffix(line, p)
		}
		at := strings.Index(line, p)
		if at < 0 {
			return false
		}
		line = line[at+len(p):]
	}
	return line == ""
}

// testCertificate makes a certificate for tests, which is its own authority.
func testCertificate(t testing.TB) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
