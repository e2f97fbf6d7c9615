// Package check helps a plugin answer Check: it collects results, asks services
// within a time, and says in words what is wrong with a network.
//
//	var run check.Run
//	if body, ok := run.Get(ctx, "sign-in service", client, discoveryURL, "is the setting authority right?"); ok {
//		...
//	}
//	run.Redirect(redirectURL, "the provider")
//	return &provider.CheckResponse{Results: run.Results}, nil
//
// Kept true: no check takes longer than Limit; no result holds a query, which
// may be secret, nor more than one line.
package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Limit bounds one request of a check.
const Limit = 10 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// Run collects what checks find, in their order. The zero value is ready.
type Run struct{ Results []provider.CheckResult }

func (r *Run) add(name string, outcome provider.CheckOutcome, detail, remedy string) {
	r.Results = append(r.Results, provider.CheckResult{Name: name, Outcome: outcome, Detail: line(detail), Remedy: line(remedy)})
}

// Passed notes what is as it should be.
func (r *Run) Passed(name, detail string) { r.add(name, provider.CheckPassed, detail, "") }

// Failed notes what is wrong, and what to do about it.
func (r *Run) Failed(name, detail, remedy string) { r.add(name, provider.CheckFailed, detail, remedy) }

// Unknown notes what could not be tried.
func (r *Run) Unknown(name, detail, remedy string) {
	r.add(name, provider.CheckUnknown, detail, remedy)
}

// line makes one line of a text.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

// Answer is what a service said.
type Answer struct {
	Status int
	Body   []byte
}

// Do sends a request within Limit. Where no answer comes the check has failed.
func (r *Run) Do(ctx context.Context, name string, client *http.Client, req *http.Request, remedy string) (*Answer, bool) {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		r.Failed(name, Where(req.URL)+" cannot be reached: "+Explain(err), remedy)
		return nil, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		r.Failed(name, Where(req.URL)+" broke off its answer: "+Explain(err), remedy)
		return nil, false
	}
	return &Answer{Status: resp.StatusCode, Body: body}, true
}

// Get asks for an address, which should answer with status 200. It notes what
// is wrong; what is right is for the caller to say.
func (r *Run) Get(ctx context.Context, name string, client *http.Client, address, remedy string) ([]byte, bool) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		r.Failed(name, "its address cannot be used", remedy)
		return nil, false
	}
	a, ok := r.Do(ctx, name, client, req, remedy)
	if ok && a.Status != http.StatusOK {
		r.Failed(name, fmt.Sprintf("%s answers with status %d", Where(req.URL), a.Status), remedy)
		return nil, false
	}
	if !ok {
		return nil, false
	}
	return a.Body, true
}

// Guarded asks an API for something without a token: where it is the API, it
// refuses with status 401. It passes with note after the address.
func (r *Run) Guarded(ctx context.Context, name string, client *http.Client, address, note, remedy string) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		r.Failed(name, "its address cannot be used", remedy)
		return
	}
	switch a, ok := r.Do(ctx, name, client, req, remedy); {
	case !ok:
	case a.Status != http.StatusUnauthorized:
		r.Failed(name, fmt.Sprintf("%s answers with status %d to a request without a token, and should refuse it with 401", Where(req.URL), a.Status), remedy)
	default:
		r.Passed(name, Where(req.URL)+" answers"+note)
	}
}

// Redirect checks the shape that providers take redirect URIs of: https by the
// name of a host, or plain http to this machine alone; no fragment (RFC 6749,
// 3.1.2), no credentials, no query. Providers tell nobody but an owner's browser
// whether a URI is registered.
func (r *Run) Redirect(redirect, providerName string) {
	const (
		name       = "redirect URI"
		registered = "whether it is registered shows at the first sign-in"
	)
	u, err := url.Parse(redirect)
	if err != nil || u.Host == "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(redirect, "*?") {
		r.Failed(name, redirect+" is no address that "+providerName+" takes", "set public_url to the address of the gateway alone, such as https://mail.example.com")
		return
	}
	switch host := u.Hostname(); {
	case u.Scheme == "https" && net.ParseIP(host) != nil && !Loopback(host):
		r.Failed(name, redirect+" names a number in place of a host", "give the gateway a name, and set public_url to it")
	case u.Scheme == "https":
		r.Passed(name, redirect+" has the right form; "+registered)
	case u.Scheme == "http" && Loopback(host):
		r.Passed(name, redirect+" has the right form (plain http is taken for this machine alone: owners must sign in on it); "+registered)
	default:
		r.Failed(name, redirect+" is not https, which "+providerName+" wants of every host but localhost", "put TLS in front of the gateway, and set public_url to its https address")
	}
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Where names an address without what may be secret in it.
func Where(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Explain says in words why nobody answered.
func Explain(err error) string {
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		op   *net.OpError
		ue   *url.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name " + dns.Name + " is not known (is this machine offline?)"
	case errors.As(err, &dns):
		return "names cannot be looked up (is this machine offline?)"
	case errors.As(err, &cert):
		return "its certificate is not trusted: " + cert.Err.Error()
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection: " + op.Err.Error()
	case errors.As(err, &ue):
		if ue.Timeout() {
			return "no answer in time"
		}
		return ue.Err.Error() // without the address, whose query may be secret
	}
	return err.Error()
}
