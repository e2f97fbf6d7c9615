package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"
)

// maxMail bounds a message that comes in, by SMTP or by the control API.
const maxMail = 150 << 20

// serveSMTP takes mail for the users of all clouds (RFC 5321). Anybody may
// send from anywhere; recipients that do not exist are refused at once.
func (s *Sandbox) serveSMTP(ctx context.Context, l net.Listener) error {
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &smtpSession{ctx: ctx, s: s, peer: c.Hostname()}, nil
	}))
	srv.Domain = hostName
	srv.ReadTimeout, srv.WriteTimeout = time.Minute, time.Minute
	srv.MaxMessageBytes, srv.MaxRecipients = maxMail, 500
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = smtpLog{s}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve smtp: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // sessions that are still open are cut
	}
	_ = l.Close() // a server that was ended before it began does not know it
	<-ended
	return nil
}

type smtpLog struct{ s *Sandbox }

func (l smtpLog) Printf(format string, v ...any) {
	l.s.log.Debug("smtp", "message", fmt.Sprintf(format, v...))
}

func (l smtpLog) Println(v ...any) { l.s.log.Debug("smtp", "message", fmt.Sprint(v...)) }

// smtpSession is one connection's transaction.
type smtpSession struct {
	ctx   context.Context
	s     *Sandbox
	peer  string
	from  string
	rcpts []string
}

func (x *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	x.from = from
	return nil
}

func (x *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if _, _, ok := x.s.post.find(to); !ok {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "Recipient address rejected: user unknown"}
	}
	x.rcpts = append(x.rcpts, to)
	return nil
}

func (x *smtpSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // go-smtp's own: too large, or cut
	}
	via := oneLine(x.peer)
	if via == "" {
		via = "unknown"
	}
	if err := x.s.post.carry(x.ctx, via, x.from, x.rcpts, raw); err != nil {
		x.s.log.Error("smtp delivery failed", "error", err)
		if errors.Is(err, context.Canceled) {
			return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Shutting down"}
		}
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Local error"}
	}
	for range x.rcpts {
		x.s.counters.Mail("", x.from, "received")
	}
	return nil
}

func (x *smtpSession) Reset() { x.from, x.rcpts = "", nil }

func (x *smtpSession) Logout() error { return nil }
