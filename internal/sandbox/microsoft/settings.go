package microsoft

import (
	"time"

	"github.com/postern-mail/postern/internal/sandbox/microsoft/graph"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/push"
)

// Settings are all knobs of this cloud. The zero value is the documented
// behaviour of the real service.
type Settings struct {
	Identity identity.Settings
	// Mail changes the defaults of graph.DefaultSettings.
	Mail     func(*graph.Settings)
	Push     push.Settings
	Throttle Throttle
	// Apps are registered at the start; none means identity.DefaultApp with
	// RedirectURIs.
	Apps []identity.App
	// RedirectURIs are those of the default app; none means the gateway's
	// default callback on localhost and 127.0.0.1.
	RedirectURIs []string
}

// Throttle holds Exchange's limits for each pair of app and mailbox.
type Throttle struct {
	// Concurrent requests: 4. Negative: no limit.
	Concurrent int
	// RefuseShare is the share of requests over Concurrent that is refused: 1,
	// so that tests can rely on it. The real service was measured to let most
	// of them through (five at once: 13 % refused).
	RefuseShare float64
	// RetryAfter answers a refusal for concurrency: 1 s. In a batch it may
	// have decimals.
	RetryAfter time.Duration
	// Requests in RequestWindow: 10,000 in 10 min. Refused ones count too.
	Requests      int
	RequestWindow time.Duration
	// UploadBytes of PATCH, POST and PUT in UploadWindow: 150 MB in 5 min (in
	// 2021: 15 MB in 30 s).
	UploadBytes  int64
	UploadWindow time.Duration
	// NoRetryAfter leaves the header out, as the real service sometimes does.
	NoRetryAfter bool
}

func (t Throttle) withDefaults() Throttle {
	if t.Concurrent == 0 {
		t.Concurrent = 4
	}
	if t.RefuseShare == 0 {
		t.RefuseShare = 1
	}
	if t.RetryAfter == 0 {
		t.RetryAfter = time.Second
	}
	if t.Requests == 0 {
		t.Requests = 10_000
	}
	if t.RequestWindow == 0 {
		t.RequestWindow = 10 * time.Minute
	}
	if t.UploadBytes == 0 {
		t.UploadBytes = 150_000_000
	}
	if t.UploadWindow == 0 {
		t.UploadWindow = 5 * time.Minute
	}
	return t
}

// HostNames are the vendor's names that the server's certificate carries: a
// client may keep its URLs and dial the sandbox.
func HostNames() []string {
	return []string{
		"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn",
		"login.chinacloudapi.cn", "login.microsoftonline.de", "login.windows.net", "login.live.com",
		"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn",
		"graph.microsoft.de", "outlook.office.com", "outlook.office365.com",
	}
}
