package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/postern-mail/postern/internal/sandbox"
)

// deliverFlags are those of `postern-sandbox deliver`, which puts a message
// into a running sandbox by its control API.
type deliverFlags struct {
	Control string `help:"The control API of the running sandbox." default:"${control}" placeholder:"URL"`
	To      string `required:"" help:"The user who gets the message." placeholder:"ADDRESS"`
	From    string `help:"Who it is from." default:"Eve <eve@fabrikam.example>"`
	Subject string `help:"Its subject." default:"Hello"`
	Text    string `help:"Its text; - reads a whole raw message from standard input instead." default:"This message came from the sandbox."`
	Mailbox string `help:"Where it goes: a well-known name, a path or an id." default:"inbox"`
}

// deliver is the subcommand's main.
func deliver(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var f deliverFlags
	exited := -1
	parser, err := kong.New(&f, kong.Name("postern-sandbox deliver"), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.Description("Deliver a message to a user of a running sandbox."), kong.Vars{"control": "http://" + sandbox.DefaultControl})
	if err == nil {
		_, err = parser.Parse(args)
	}
	switch {
	case exited >= 0:
		return exited
	case err != nil:
		fmt.Fprintln(stderr, "postern-sandbox:", err)
		return 2
	}
	if err := f.run(ctx, stdin, stdout); err != nil {
		fmt.Fprintln(stderr, "postern-sandbox:", err)
		return 1
	}
	return 0
}

func (f *deliverFlags) run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	raw := f.letter(time.Now())
	if f.Text == "-" {
		b, err := io.ReadAll(stdin)
		if err != nil {
			return fmt.Errorf("read the message: %w", err)
		}
		raw = string(b)
	}
	if strings.ContainsAny(f.From+f.To+f.Subject, "\r\n") {
		return errors.New("a header field has one line")
	}
	to := strings.TrimRight(f.Control, "/") + "/control/users/" + url.PathEscape(f.To) + "/messages?mailbox=" + url.QueryEscape(f.Mailbox)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "message/rfc822")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no sandbox answers: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the sandbox answered %s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	fmt.Fprintf(stdout, "delivered to %s\n", f.To)
	return nil
}

// letter is a plain message (RFC 5322).
func (f *deliverFlags) letter(now time.Time) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d.sandbox@fabrikam.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n",
		f.From, f.To, f.Subject, now.Format(time.RFC1123Z), now.UnixNano(), f.Text)
}
