package gmail_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// rotating is a token endpoint that gives a new refresh token with every answer,
// as Google's may: what it gives stands for the first one at the sandbox.
func rotating(t *testing.T, w *world, first string) *httptest.Server {
	t.Helper()
	target := w.conf.Settings["token_url"]
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		if want := fmt.Sprintf("rotated-%d", n.Load()); n.Load() > 0 && r.PostForm.Get("refresh_token") != want {
			t.Errorf("asked with %q, and the last one given was %q", r.PostForm.Get("refresh_token"), want)
		}
		r.PostForm.Set("refresh_token", first)
		resp, err := http.PostForm(target, r.PostForm)
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		answer := map[string]any{}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		answer["refresh_token"] = fmt.Sprintf("rotated-%d", n.Add(1))
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(resp.StatusCode)
		_ = json.NewEncoder(rw).Encode(answer)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// TestANewRefreshTokenIsStoredBeforeItsTokenIsUsed, and is not lost where it
// could not be.
func TestANewRefreshTokenIsStoredBeforeItsTokenIsUsed(t *testing.T) {
	w := connected(t)
	held, _ := w.host.Grant(w.account)
	var g struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(held, &g); err != nil {
		t.Fatal(err)
	}
	w.conf.Settings["token_url"] = rotating(t, w, g.RefreshToken).URL
	w.configure()
	w.host.Fail(errors.New("disk full"))
	w.sandbox.Counters().Reset()
	wantError(t, w.list(), mail.KindUnavailable, "grant_not_stored")
	if r := w.report(); r.Count("POST", "/batch/gmail/v1") != 0 || r.Tokens["refresh_token"]["ok"] != 1 {
		t.Errorf("a token was used whose grant was lost: %+v", r)
	}
	w.host.Fail(nil)
	w.clock.Forward(time.Minute)
	if err := w.list(); err != nil {
		t.Fatal(err)
	}
	// The one that was not stored at first, and the one that came with it.
	saved, saves := w.host.Grant(w.account)
	if saves != 2 || !strings.Contains(string(saved), `"rotated-2"`) || len(w.host.Refused()) != 0 {
		t.Errorf("%d saves, refused %v", saves, w.host.Refused())
	}
	// It works after a restart.
	if err := w.p.Close(t.Context(), &provider.CloseRequest{Account: w.account}); err != nil {
		t.Fatal(err)
	}
	if err := w.p.Open(t.Context(), &provider.OpenRequest{Account: w.account, Grant: saved}); err != nil {
		t.Fatal(err)
	}
	if err := w.list(); err != nil {
		t.Error(err)
	}
}
