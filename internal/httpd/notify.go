package httpd

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// maxNotification bounds a notification; providers batch, but not that much.
const maxNotification = 1 << 20

// notifyTimeout is below the three seconds within which providers want an
// answer.
const notifyTimeout = 2500 * time.Millisecond

// notify hands the raw request to the plugin of its provider and gives back
// what the plugin answers. The hints that it told make accounts due before the
// provider gets its answer.
func (s *server) notify(w http.ResponseWriter, r *http.Request) {
	instance := r.PathValue("provider")
	p, err := s.Providers.Provider(instance)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotification))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the notification cannot be read", status)
		return
	}
	ctx, cancel := timeout(r, notifyTimeout)
	defer cancel()
	resp, err := p.Notify(ctx, &provider.NotifyRequest{
		Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, "/notify/"+instance), Query: r.URL.RawQuery, Header: r.Header, Body: body})
	if err != nil {
		status, ok := statuses[mail.KindOf(err)]
		if !ok {
			status = http.StatusServiceUnavailable
		}
		s.Log.WarnContext(r.Context(), "notification refused", "provider", instance, "kind", mail.KindOf(err), "error", err)
		http.Error(w, http.StatusText(status), status)
		return
	}
	for i := range resp.Hints {
		s.Accounts.Hint(r.Context(), instance, &resp.Hints[i])
	}
	for name, values := range resp.Header {
		for _, v := range values {
			w.Header().Add(name, v)
		}
	}
	if resp.Status == 0 {
		resp.Status = http.StatusAccepted
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body)
}
