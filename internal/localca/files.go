package localca

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often files are read while connections come in.
const lookEvery = time.Second

// Files are a certificate and its key in PEM files of somebody else's making.
type Files struct {
	cert, key string
	now       func() time.Time
	log       *slog.Logger

	mu       sync.Mutex
	looked   time.Time
	seen     [2][]byte // as they were read last, good or not
	in       *tls.Certificate
	unusable string // what was logged last of files that cannot be read
	broken   string // why what was seen last is not in use
}

// Load reads the files. They are looked at again, at most once a second, when
// somebody connects: their bytes decide, since tools that renew certificates
// write, rename or swap links as they please.
func Load(cert, key string, now func() time.Time, log *slog.Logger) (*Files, error) {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Files{cert: cert, key: key, now: now, log: log}
	raw, err := f.read()
	if err != nil {
		return nil, err
	}
	if f.in, err = parse(raw); err != nil {
		return nil, err
	}
	f.seen, f.looked = raw, now()
	return f, nil
}

func (f *Files) read() (raw [2][]byte, err error) {
	for i, name := range []string{f.cert, f.key} {
		if raw[i], err = os.ReadFile(name); err != nil {
			return raw, err
		}
	}
	return raw, nil
}

func parse(raw [2][]byte) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(raw[0], raw[1])
	if err != nil {
		return nil, fmt.Errorf("read certificate and key: %w", err)
	}
	return &c, nil
}

// GetCertificate is for tls.Config.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if since := now.Sub(f.looked); since >= lookEvery || since < 0 {
		f.looked = now
		f.look()
	}
	return f.in, nil
}

// Reload looks at the files now.
func (f *Files) Reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = f.now()
	f.look()
}

// expiresSoon is how long before its end a certificate in use is spoken of.
const expiresSoon = 7 * 24 * time.Hour

// Trouble says what somebody has to see to: files that are not in use since they
// are broken, or a certificate in use that has expired or will within a week.
// Empty where all is well. It looks at the files as GetCertificate does.
func (f *Files) Trouble() string {
	if _, err := f.GetCertificate(nil); err != nil {
		return err.Error()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch end := f.in.Leaf.NotAfter; {
	case f.unusable != "":
		return "it cannot be read, and the former one stays in use: " + f.unusable
	case f.broken != "":
		return "it is broken, and the former one stays in use: " + f.broken
	case !f.now().Before(end):
		return fmt.Sprintf("it expired at %s", end.UTC().Format(time.RFC3339))
	case end.Sub(f.now()) < expiresSoon:
		return fmt.Sprintf("it expires at %s", end.UTC().Format(time.RFC3339))
	}
	return ""
}

// look takes changed files, where they are a pair.
func (f *Files) look() {
	ctx := context.Background()
	raw, err := f.read()
	if err != nil {
		if f.unusable != err.Error() {
			f.log.ErrorContext(ctx, "certificate cannot be read; the former one stays in use", "certificate", f.cert, "error", err)
		}
		f.unusable = err.Error()
		return
	}
	f.unusable = ""
	if bytes.Equal(raw[0], f.seen[0]) && bytes.Equal(raw[1], f.seen[1]) {
		return
	}
	f.seen = raw
	c, err := parse(raw)
	if err != nil {
		f.log.ErrorContext(ctx, "new certificate is broken; the former one stays in use", "certificate", f.cert, "error", err)
		f.broken = err.Error()
		return
	}
	f.in, f.broken = c, ""
	f.log.InfoContext(ctx, "certificate read again", "certificate", f.cert, "until", c.Leaf.NotAfter)
}
