package sandbox

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Approve signs a user in without a browser: it posts the form of the page at
// an authorize URL and returns where the page sends the browser next, the
// redirect URI with code and state. The client must trust the sandbox
// (Sandbox.TLS, or State.CA); its redirect policy is not used.
func Approve(ctx context.Context, client *http.Client, authorizeURL, address string) (*url.URL, error) {
	return decide(ctx, client, authorizeURL, address, "approve")
}

// Deny refuses what the page at an authorize URL asks for, as Approve grants
// it.
func Deny(ctx context.Context, client *http.Client, authorizeURL string) (*url.URL, error) {
	return decide(ctx, client, authorizeURL, "", "deny")
}

func decide(ctx context.Context, client *http.Client, authorizeURL, address, decision string) (*url.URL, error) {
	form := url.Values{"user": {address}, "decision": {decision}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, authorizeURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("%s a sign-in: %w", decision, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	staying := *client
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := staying.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s a sign-in: %w", decision, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusFound {
		return resp.Location()
	}
	// The page keeps the user, and says why.
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s a sign-in: %w", decision, err)
	}
	why := "no reason given"
	if _, rest, ok := strings.Cut(string(page), `role="alert">`); ok {
		why, _, _ = strings.Cut(rest, "<")
	}
	return nil, fmt.Errorf("%s a sign-in: the page answered %d: %s", decision, resp.StatusCode, why)
}
