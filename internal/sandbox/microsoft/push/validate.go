package push

import (
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"

	"github.com/google/uuid"
)

// validate is the handshake (change notifications, "Notification endpoint
// validation"): the endpoint must send the decoded token back as plain text
// with status 200 in time.
func (s *Service) validate(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, s.settings.ValidationTimeout)
	defer cancel()
	// The real tokens are text with spaces and colons too: a client that does
	// not decode them fails here.
	token := "Validation: Testing client application reachability for subscription Request-Id: " + uuid.NewString()
	u, err := url.Parse(address)
	if err != nil { // checked before
		return invalid("The notification URL is not valid.")
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "validationToken=" + url.QueryEscape(token)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		return invalid("The notification URL is not valid.")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := s.opts.Client.Do(req)
	if err != nil {
		var netErr net.Error
		if errors.As(err, &netErr) && netErr.Timeout() {
			return s.validationProblem("Subscription validation request timed out.")
		}
		s.opts.Log.Info("validation request failed", "host", u.Host, "error", withoutURL(err))
		return s.validationProblem("Subscription validation request failed. Notification endpoint must respond with 200 OK to validation request.")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(len(token))+1))
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return s.validationProblem("Subscription validation request timed out.")
	case resp.StatusCode != http.StatusOK:
		return s.validationProblem("Subscription validation request failed. HTTP status code is '" + statusName(resp.StatusCode) + "'.")
	case err != nil || string(body) != token || !plainText(resp.Header.Get("Content-Type")):
		return s.validationProblem("Subscription validation request failed. Notification endpoint must respond with 200 OK to validation request.")
	}
	return nil
}

func (s *Service) validationProblem(message string) error {
	return &problem{http.StatusBadRequest, s.settings.ValidationCode, message}
}

func plainText(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "text/plain"
}

// statusName is .NET's name of a status: NotFound.
func statusName(status int) string {
	name := ""
	for _, r := range http.StatusText(status) {
		if r != ' ' && r != '-' {
			name += string(r)
		}
	}
	return name
}
