package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
)

// mailProgram is an IMAP client that knows of a mailbox what untagged responses
// have told it, and nothing else. What no server may say (RFC 9051, 7.5) is an
// error.
type mailProgram struct {
	conn net.Conn
	r    *bufio.Reader
	tags int
	// view is the mailbox by sequence number, from 1.
	view []viewed
	// validity and next are UIDVALIDITY and UIDNEXT of the mailbox that is
	// selected.
	validity, next uint32
	// silent: the command that runs allows no EXPUNGE (RFC 9051, 7.5.1).
	silent bool
	// patience is how long it idles where nothing comes.
	patience time.Duration
	// hits is what the last search found.
	hits []uint32
}

// viewed is a message of a view; what is not known yet is empty.
type viewed struct {
	uid    uint32
	known  bool // flags
	flags  string
	digest string
}

// dialMail logs in, in the clear.
func dialMail(address, user, password string) (*mailProgram, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &mailProgram{conn: conn, r: bufio.NewReaderSize(conn, 1<<16)}
	greeting, _, err := c.response()
	if err == nil && !strings.HasPrefix(greeting, "* OK") {
		err = fmt.Errorf("greeted by %q", greeting)
	}
	if err == nil {
		err = c.must(fmt.Sprintf("LOGIN %q %q", user, password))
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *mailProgram) close() { _ = c.conn.Close() }

var literalEnd = regexp.MustCompile(`\{(\d+)\}$`)

// response reads one response. Literals are taken out of the text.
func (c *mailProgram) response() (text string, literals [][]byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", nil, err
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", nil, fmt.Errorf("after %.60q: %w", text+line, err)
		}
		text += strings.TrimSuffix(line, "\r\n")
		m := literalEnd.FindStringSubmatch(text)
		if m == nil {
			return text, literals, nil
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return "", nil, err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return "", nil, err
		}
		literals = append(literals, b)
	}
}

// do runs a command, minds every untagged response, and gives the tagged one
// without its tag. Where it has a literal, it goes once the server asks for it.
func (c *mailProgram) do(command string, literal []byte) (string, error) {
	c.tags++
	tag := fmt.Sprintf("t%d", c.tags)
	verb, _, _ := strings.Cut(command, " ")
	c.silent = verb == "FETCH" || verb == "STORE" || verb == "SEARCH"
	if literal != nil {
		command += fmt.Sprintf(" {%d}", len(literal))
	}
	if _, err := io.WriteString(c.conn, tag+" "+command+"\r\n"); err != nil {
		return "", err
	}
	for {
		text, literals, err := c.response()
		if err != nil {
			return "", fmt.Errorf("%.100s: %w", command, err)
		}
		switch {
		case strings.HasPrefix(text, tag+" "):
			return strings.TrimPrefix(text, tag+" "), nil
		case strings.HasPrefix(text, "+"):
			more := "DONE"
			if literal != nil {
				more = string(literal)
			} else if err := c.linger(); err != nil {
				return "", err
			}
			if _, err := io.WriteString(c.conn, more+"\r\n"); err != nil {
				return "", err
			}
		default:
			if err := c.untagged(text, literals); err != nil {
				return "", &badResponse{fmt.Errorf("%.100s: %w", command, err)}
			}
		}
	}
}

// badResponse is what no server may say.
type badResponse struct{ error }

func (e *badResponse) Unwrap() error { return e.error }

// linger waits while the client idles, until it is told something or has waited
// long enough.
func (c *mailProgram) linger() error {
	if c.patience == 0 {
		return nil
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return err
	}
	if _, err := c.r.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// must runs a command that has to succeed.
func (c *mailProgram) must(command string) error {
	answer, err := c.do(command, nil)
	if err == nil && !strings.HasPrefix(answer, "OK") {
		err = fmt.Errorf("%.100s: %s", command, answer)
	}
	return err
}

var (
	numbered = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|FETCH)(.*)$`)
	uidItem  = regexp.MustCompile(`\bUID (\d+)`)
	flagItem = regexp.MustCompile(`\bFLAGS \(([^)]*)\)`)
	codeItem = regexp.MustCompile(`\[(UIDVALIDITY|UIDNEXT) (\d+)\]`)
)

// untagged minds what the server tells.
func (c *mailProgram) untagged(text string, literals [][]byte) error {
	if m := codeItem.FindStringSubmatch(text); m != nil {
		n, _ := strconv.ParseUint(m[2], 10, 32)
		if m[1] == "UIDNEXT" {
			c.next = uint32(n)
		} else {
			c.validity = uint32(n)
		}
		return nil
	}
	if found, ok := strings.CutPrefix(text, "* SEARCH"); ok {
		c.hits = c.hits[:0]
		for _, word := range strings.Fields(found) {
			n, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				return err
			}
			c.hits = append(c.hits, uint32(n))
		}
		return nil
	}
	m := numbered.FindStringSubmatch(text)
	if m == nil {
		return nil // a BYE too: the end of the connection follows
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return err
	}
	switch m[2] {
	case "EXISTS":
		if n < len(c.view) {
			return fmt.Errorf("%d EXISTS after %d", n, len(c.view))
		}
		c.view = append(c.view, make([]viewed, n-len(c.view))...)
		return nil
	case "EXPUNGE":
		if n < 1 || n > len(c.view) || c.silent {
			return fmt.Errorf("%q where there are %d; expunges forbidden: %v", text, len(c.view), c.silent)
		}
		c.view = slices.Delete(c.view, n-1, n)
		return nil
	}
	if n < 1 || n > len(c.view) {
		return fmt.Errorf("%.80q where there are %d", text, len(c.view))
	}
	v := &c.view[n-1]
	if u := uidItem.FindStringSubmatch(m[3]); u != nil {
		uid, err := strconv.ParseUint(u[1], 10, 32)
		if err != nil {
			return err
		}
		if v.uid != 0 && v.uid != uint32(uid) {
			return fmt.Errorf("message %d had UID %d and has %d", n, v.uid, uid)
		}
		v.uid = uint32(uid)
	}
	if f := flagItem.FindStringSubmatch(m[3]); f != nil {
		flags := strings.Fields(f[1])
		slices.Sort(flags)
		v.flags, v.known = strings.Join(flags, " "), true
	}
	if strings.Contains(m[3], "BODY[]") && len(literals) == 1 {
		sum := sha256.Sum256(literals[0])
		digest := hex.EncodeToString(sum[:])
		if v.digest != "" && v.digest != digest {
			return fmt.Errorf("the bytes of UID %d have changed", v.uid)
		}
		v.digest = digest
	}
	return nil
}

// open selects a mailbox and forgets the view of the one before.
func (c *mailProgram) open(mailbox string) error {
	c.view = nil
	return c.must(fmt.Sprintf("SELECT %q", mailbox))
}

// complete asks for what the view does not know yet. Where a message went before
// the program was told so, it lets itself be told, and asks again (RFC 2180,
// 4.1.2).
func (c *mailProgram) complete(bodies bool) error {
	err := c.completeOnce(bodies)
	for range 10 {
		if err == nil || !strings.Contains(err.Error(), "NO [EXPUNGEISSUED]") {
			break
		}
		if err := c.must("NOOP"); err != nil {
			return err
		}
		err = c.completeOnce(bodies)
	}
	return err
}

func (c *mailProgram) completeOnce(bodies bool) error {
	ascending := func() error {
		for i := 1; i < len(c.view); i++ {
			if a, b := c.view[i-1].uid, c.view[i].uid; a != 0 && b != 0 && a >= b {
				return &badResponse{fmt.Errorf("message %d has UID %d, the next has %d", i, a, b)}
			}
		}
		return nil
	}
	for i := range c.view {
		if v := c.view[i]; v.uid == 0 || !v.known {
			if err := c.must(fmt.Sprintf("FETCH %d:* (UID FLAGS)", i+1)); err != nil {
				return err
			}
			break
		}
	}
	if !bodies {
		return ascending()
	}
	var missing []string
	for _, v := range c.view {
		if v.digest == "" {
			missing = append(missing, strconv.FormatUint(uint64(v.uid), 10))
		}
	}
	for chunk := range slices.Chunk(missing, 500) {
		if err := c.must("UID FETCH " + strings.Join(chunk, ",") + " (UID BODY.PEEK[])"); err != nil {
			return err
		}
	}
	return ascending()
}

// appPassword makes an app password for an account.
func (d *demo) appPassword(account string) string {
	d.t.Helper()
	var got struct{ CreateAppPassword struct{ Password string } }
	d.query(`mutation($a: ID!) { createAppPassword(input: {account: $a, name: "test"}) { password } }`, map[string]any{"a": account}, &got)
	return got.CreateAppPassword.Password
}

// imapDoor is where the scene's gateway takes mail programs.
func (s *scene) imapDoor() string { return s.cfg.section("imap")["listen"].(string) }

// smtpDoor is where it takes their mail.
func (s *scene) smtpDoor() string { return s.cfg.section("smtp")["listen"].(string) }

// inboxDigests gives the SHA-256 of what the provider has in an account's inbox,
// sorted. Which mailbox that is the gateway tells.
func (d *demo) inboxDigests(address string) []string {
	d.t.Helper()
	account := d.account(address)
	inbox := (&changes{demo: d, ada: account}).mailbox("INBOX")
	var list []struct {
		Mailboxes []string
		SHA256    string
	}
	d.control("GET", "/control/users/"+address+"/messages", "", &list)
	var out []string
	for _, m := range list {
		if slices.ContainsFunc(m.Mailboxes, func(id string) bool { return event.HashID("f", account, id) == inbox }) {
			out = append(out, m.SHA256)
		}
	}
	slices.Sort(out)
	return out
}
