package outlook

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"html"
	"net/http"
	"net/url"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	// maxNotification bounds the body of a notification; Graph sends some
	// kilobytes.
	maxNotification = 1 << 20
	// maxValidation bounds the token that is echoed.
	maxValidation = 4 << 10
	// maxSubscriptionID is far longer than a GUID.
	maxSubscriptionID = 128
)

// Notify answers Graph. It takes no lock and knows no account: a subscription
// is validated while Watch still waits for its answer, and clientState is the
// only proof that a notification of this kind has.
//
// Whatever is told is a doorbell. Notifications are late, doubled and out of
// order; Changes says what happened.
func (p *Provider) Notify(_ context.Context, req *provider.NotifyRequest) (*provider.NotifyResponse, error) {
	conf := p.conf.Load()
	switch {
	case conf == nil || conf.clientState == "":
		return status(http.StatusServiceUnavailable), nil
	case req.Method != http.MethodPost:
		return status(http.StatusMethodNotAllowed), nil
	case req.Path != "" && req.Path != "/" && req.Path != lifecyclePath:
		return status(http.StatusNotFound), nil
	case len(req.Body) > maxNotification:
		return status(http.StatusRequestEntityTooLarge), nil
	}
	query, err := url.ParseQuery(req.Query)
	if err != nil {
		return status(http.StatusBadRequest), nil
	}
	if token := query.Get("validationToken"); token != "" {
		return validation(token), nil
	}
	var doc struct {
		Value []msgraph.Notification `json:"value"`
	}
	if err := json.Unmarshal(req.Body, &doc); err != nil || len(doc.Value) == 0 {
		return status(http.StatusBadRequest), nil
	}
	resp := status(http.StatusForbidden)
	told := map[provider.Hint]bool{}
	for i := range doc.Value {
		n := &doc.Value[i]
		if subtle.ConstantTimeCompare([]byte(n.ClientState), []byte(conf.clientState)) != 1 {
			continue // forged, or of a subscription made with another key
		}
		if n.SubscriptionID == "" || len(n.SubscriptionID) > maxSubscriptionID {
			return status(http.StatusBadRequest), nil
		}
		resp.Status = http.StatusAccepted
		hint := provider.Hint{Kind: hintKind(n), LookupKey: n.SubscriptionID}
		if !told[hint] {
			told[hint] = true
			resp.Hints = append(resp.Hints, hint)
		}
	}
	return resp, nil
}

func hintKind(n *msgraph.Notification) provider.HintKind {
	switch n.LifecycleEvent {
	case "":
		return provider.HintChanged
	case "reauthorizationRequired":
		return provider.HintRenew
	case "subscriptionRemoved":
		return provider.HintRemoved
	}
	// "missed", and whatever is invented after it: look everywhere.
	return provider.HintMissed
}

// validation echoes the token that proves that the URL is ours. It is
// escaped, as Microsoft asks, for anybody may send one.
func validation(token string) *provider.NotifyResponse {
	if len(token) > maxValidation {
		return status(http.StatusBadRequest)
	}
	return &provider.NotifyResponse{
		Status: http.StatusOK,
		Header: map[string][]string{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}},
		Body:   []byte(html.EscapeString(token)),
	}
}

func status(code int) *provider.NotifyResponse { return &provider.NotifyResponse{Status: code} }
