package front

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// A Front is what one cloud has in front of it. All fields are required.
type Front struct {
	Cloud    string
	Log      *slog.Logger
	Counters *traffic.Counters
	Faults   *traffic.Faults
	// Refuse answers in the cloud's words instead of executing a request; a
	// fault with Status or AADSTS was met. It says false where the fault has
	// nothing to refuse with on this path; then the request is executed.
	Refuse func(w http.ResponseWriter, r *http.Request, f traffic.Fault) bool
	// Dialect is what rubbish in this cloud's answers looks like.
	Dialect Dialect
}

// An Exchange is what the links of the chain tell each other of one request.
type Exchange struct {
	User   cloud.User
	App    string
	Scopes []string
	Batch  *Exchange // the batch around an item

	cut atomic.Bool // the connection ends without an answer
}

type exchangeKey struct{}

// ExchangeOf is a request's; nil where Counted is not around it.
func ExchangeOf(ctx context.Context) *Exchange {
	ex, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return ex
}

// Counted counts a request once it is answered. Inside another it is an item
// of a batch, and begins with the batch's user.
func (f *Front) Counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := &Exchange{Batch: ExchangeOf(r.Context())}
		if ex.Batch != nil {
			ex.User, ex.App, ex.Scopes = ex.Batch.User, ex.Batch.App, ex.Batch.Scopes
		}
		rec := &statusWriter{ResponseWriter: w}
		defer func() {
			status := rec.status
			if ex.cut.Load() {
				status = 0
			}
			f.Counters.Request(f.Cloud, ex.User.Address, r.Method, r.URL.Path, status)
		}()
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, ex)))
		if rec.status == 0 {
			rec.status = http.StatusOK
		}
	})
}

// Spoiled applies the fault that a request meets, if any.
func (f *Front) Spoiled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := ExchangeOf(r.Context())
		fault, met := f.Faults.Request(f.Cloud, ex.User.Address, r.Method, r.URL.Path)
		if !met {
			next.ServeHTTP(w, r)
			return
		}
		f.Counters.Fault(f.Cloud, ex.User.Address, fault.Match)
		f.Log.Info("fault met", "method", r.Method, "path", traffic.Pattern(r.URL.Path), "user", ex.User.Address)
		f.spoil(fault, next, w, r)
	})
}

func (f *Front) spoil(fault traffic.Fault, next http.Handler, w http.ResponseWriter, r *http.Request) {
	ex := ExchangeOf(r.Context())
	held := Hold()
	if fault.Body != "" {
		r.Header.Del("Accept-Encoding") // what is to be changed has to be read
	}
	if fault.CutAfter || !f.Refuse(held, r, fault) {
		next.ServeHTTP(held, r)
	}
	if fault.DelayMS > 0 {
		t := time.NewTimer(time.Duration(fault.DelayMS) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done(): // the client gave up
		}
	}
	switch {
	case fault.CutAfter:
	case fault.Body != "" && fault.Status == 0 && (ex.Batch == nil || fault.Body.Document()):
		f.rubbish(w, r, held, fault)
		return
	default:
		held.Release(w)
		return
	}
	ex.cut.Store(true)
	if ex.Batch != nil {
		// The batch is executed to its end and cut as a whole.
		ex.Batch.cut.Store(true)
		w.WriteHeader(http.StatusGatewayTimeout)
		return
	}
	panic(http.ErrAbortHandler)
}

// Batch holds a batch's answer until its items are done: one of them may want
// the connection cut.
func (f *Front) Batch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := Hold()
		next.ServeHTTP(held, r)
		if ExchangeOf(r.Context()).cut.Load() {
			panic(http.ErrAbortHandler)
		}
		held.Release(w)
	})
}
