package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
)

// witness stands between a plugin and its provider and notes when what was
// asked, and until when it was told to wait.
type witness struct {
	srv *httptest.Server

	mu    sync.Mutex
	asked []time.Time
	told  []toldToWait
}

// toldToWait is a refusal: when it was answered, and until when it holds.
type toldToWait struct{ at, until time.Time }

var retryAfter = regexp.MustCompile(`Retry after ([0-9TZ:.-]+)`)

func newWitness(t *testing.T, target string) *witness {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			_ = r.Body.Close()
			r.Body = io.NopCloser(bytes.NewReader(b))
			for _, m := range retryAfter.FindAllSubmatch(b, -1) {
				if until, err := time.Parse(time.RFC3339Nano, string(m[1])); err == nil {
					w.mu.Lock()
					w.told = append(w.told, toldToWait{time.Now(), until})
					w.mu.Unlock()
				}
			}
			return nil
		},
	}
	w.srv = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding") // so that answers can be read
		w.mu.Lock()
		w.asked = append(w.asked, time.Now())
		w.mu.Unlock()
		p.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.srv.Close)
	return w
}

// onTheWay is how old a refusal must be for a request after it to be one of
// somebody who has read it; it holds for seconds.
const onTheWay = 500 * time.Millisecond

// early counts the requests that came after a refusal and before its time.
func (w *witness) early() (most, refusals int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, told := range w.told {
		n := 0
		for _, at := range w.asked {
			if at.After(told.at.Add(onTheWay)) && at.Before(told.until) {
				n++
			}
		}
		most = max(most, n)
	}
	return most, len(w.told)
}

// TestQuotaEndsInMidSync: a quota that is used up while a mailbox is read, in
// each of the ways in which that is told, is waited for; nothing is lost.
func TestQuotaEndsInMidSync(t *testing.T) {
	t.Parallel()
	const n = 150
	for name, tc := range map[string]struct {
		status int
		reason string
		kind   gmail.RefusalKind
	}{
		"429 with a time in the text": {http.StatusTooManyRequests, "rateLimitExceeded", gmail.RefusalText},
		"403 with a time in the text": {http.StatusForbidden, "userRateLimitExceeded", gmail.RefusalBare},
		"403 without a time":          {http.StatusForbidden, "userRateLimitExceeded", gmail.RefusalMetric},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w *witness
			s := newScene(t, func(o *sandbox.Options, cfg settings) {
				q := &o.GoogleSettings.Mail.Quota
				// So few in so long that the slowest machine uses them up.
				q.UserUnits, q.UserWindow = 1600, 4*time.Second
				q.Refusal, q.RefusalStatus, q.RefusalReason = tc.kind, tc.status, tc.reason
				o.Google = freeAddress(t)
				w = newWitness(t, "http://"+o.Google)
				cfg.section("providers", "gmail", "settings")["gmail_url"] = w.srv.URL + "/"
			}, "gmail")
			s.fill(alanAtGmail, n)
			account := s.enter(alanAtGmail)
			s.eventually("it is in step", func() bool { return s.state(account) == "READY" })
			s.inStep(alanAtGmail)
			counted := s.counted(alanAtGmail)
			most, refusals := w.early()
			timed := slices.Contains([]gmail.RefusalKind{gmail.RefusalText, gmail.RefusalBare}, tc.kind)
			if counted.Refusals["units"] == 0 || timed != (refusals > 0) {
				t.Errorf("the quota never ended: %v, %d with a time", counted.Refusals, refusals)
			}
			if most > 0 {
				t.Errorf("%d requests came before the time that a refusal had named", most)
			}
			if got := counted.Refusals["units"]; got > 60 {
				t.Errorf("%d requests, or parts of them, were refused", got)
			}
			told, _ := s.events(account, "")
			for _, e := range told {
				if e.Type == "MESSAGE_DELETED" || e.Type == "ACCOUNT_GRANT_EXPIRED" {
					t.Errorf("the quota's end is told as %s", e.Type)
				}
			}
		})
	}
}
