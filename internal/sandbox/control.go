package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// maxControl bounds the JSON bodies of the control API.
const maxControl = 1 << 20

func (s *Sandbox) serveControl(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.controlHandler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: front.ErrorLog(s.log),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve control: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // what is still open is cut
	}
	<-ended
	return nil
}

// controlHandler serves the control API and its page.
func (s *Sandbox) controlHandler() http.Handler {
	mux := http.NewServeMux()
	api := func(pattern string, h func(*http.Request) (int, any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			status, body, err := h(r)
			if err != nil {
				status, body = statusOf(err), map[string]string{"error": err.Error()}
			}
			if body == nil {
				w.WriteHeader(status)
				return
			}
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(status)
			// The client is gone when this fails; there is nobody left to tell.
			_ = json.NewEncoder(w).Encode(body)
		})
	}
	api("GET /control/state", func(*http.Request) (int, any, error) { return http.StatusOK, s.state, nil })
	api("GET /control/users", s.listUsers)
	api("POST /control/users", s.addUser)
	api("GET /control/users/{address}/messages", s.listMessages)
	api("POST /control/users/{address}/messages", s.deliverMessage)
	api("PATCH /control/users/{address}/messages/{id}", s.editMessage)
	api("DELETE /control/users/{address}/messages/{id}", s.deleteMessage)
	api("POST /control/users/{address}/revoke", s.revoke)
	api("POST /control/users/{address}/forget-cursors", s.forgetCursors)
	api("POST /control/users/{address}/lifecycle", s.lifecycle)
	api("POST /control/users/{address}/block", s.block)
	api("POST /control/users/{address}/expire-tokens", s.expireTokens)
	api("PUT /control/consent", s.restrictConsent)
	api("POST /control/users/{address}/password", s.changePassword)
	api("POST /control/service-accounts", s.addServiceAccount)
	api("POST /control/rotate-keys", func(*http.Request) (int, any, error) { return http.StatusNoContent, nil, s.google.RotateKeys() })
	api("GET /control/faults", func(*http.Request) (int, any, error) { return http.StatusOK, s.faults.List(), nil })
	api("PUT /control/faults", s.putFaults)
	api("DELETE /control/faults", s.clearFaults)
	api("GET /control/counters", func(r *http.Request) (int, any, error) {
		q := r.URL.Query()
		return http.StatusOK, s.counters.Report(q.Get("cloud"), q.Get("user")), nil
	})
	api("DELETE /control/counters", func(*http.Request) (int, any, error) {
		s.counters.Reset()
		return http.StatusNoContent, nil, nil
	})
	api("GET /control/apps", s.listApps)
	api("POST /control/apps", s.addApp)
	mux.HandleFunc("GET /control/ca", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.authority.PEM())
	})
	mux.HandleFunc("GET /{$}", s.controlPage)
	mux.HandleFunc("POST /{$}", s.controlForm)
	return sameOrigin(mux)
}

// sameOrigin keeps web pages of other origins from driving the sandbox through
// a browser on the same machine.
func sameOrigin(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(next)
}

// A controlError carries the status that the API answers with.
type controlError struct {
	status int
	err    error
}

func (e *controlError) Error() string { return e.err.Error() }
func (e *controlError) Unwrap() error { return e.err }

func statusOf(err error) int {
	var e *controlError
	if errors.As(err, &e) {
		return e.status
	}
	return http.StatusBadRequest
}

// owner finds the user of a path in whatever cloud it lives.
func (s *Sandbox) owner(r *http.Request) (Cloud, cloud.User, error) {
	address := r.PathValue("address")
	c, u, ok := s.post.find(address)
	if !ok {
		return nil, cloud.User{}, &controlError{http.StatusNotFound, fmt.Errorf("no user %s", address)}
	}
	return c, u, nil
}

// readJSON decodes a body; an empty one leaves v as it is.
func readJSON(r *http.Request, v any) error {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxControl))
	if err != nil {
		return &controlError{http.StatusRequestEntityTooLarge, fmt.Errorf("read the body: %w", err)}
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	return strict(text, v)
}

// strict decodes JSON in which nothing unknown may be.
func strict(text []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode the body: %w", err)
	}
	return nil
}

type userInfo struct {
	Cloud string `json:"cloud"`
	cloud.User
}

func (s *Sandbox) listUsers(*http.Request) (int, any, error) {
	users := []userInfo{}
	for _, c := range s.clouds {
		for _, u := range c.Users() {
			users = append(users, userInfo{c.Name(), u})
		}
	}
	return http.StatusOK, users, nil
}

func (s *Sandbox) addUser(r *http.Request) (int, any, error) {
	var u User
	if err := readJSON(r, &u); err != nil {
		return 0, nil, err
	}
	info, err := s.newUser(u)
	return http.StatusCreated, info, err
}

// newUser adds a user to the cloud it names; an address exists once in all
// clouds together, or mail would not know where to go.
func (s *Sandbox) newUser(u User) (userInfo, error) {
	if u.Cloud == "" {
		u.Cloud = CloudOf(u.Address)
	}
	if local, domain, ok := strings.Cut(u.Address, "@"); !ok || local == "" || domain == "" || strings.ContainsAny(u.Address, " <>\r\n") {
		return userInfo{}, fmt.Errorf("%q is not a mail address", u.Address)
	}
	if _, _, taken := s.post.find(u.Address); taken {
		return userInfo{}, &controlError{http.StatusConflict, fmt.Errorf("%s exists already", u.Address)}
	}
	if u.Name == "" {
		u.Name, _, _ = strings.Cut(u.Address, "@")
	}
	for _, c := range s.clouds {
		if c.Name() == u.Cloud {
			add := c.AddUser
			if u.Gmail != nil && !*u.Gmail {
				if c.Name() != s.google.Name() {
					return userInfo{}, fmt.Errorf("only a user of %s may be without gmail", s.google.Name())
				}
				add = s.google.AddUserWithoutMail
			}
			made, err := add(u.Address, u.Name)
			return userInfo{c.Name(), made}, err
		}
	}
	return userInfo{}, fmt.Errorf("there is no cloud %q", u.Cloud)
}

func (s *Sandbox) listMessages(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	messages, err := c.Messages(u.Address)
	return http.StatusOK, messages, err
}

func (s *Sandbox) deliverMessage(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	q := r.URL.Query()
	d := cloud.Delivery{Mailbox: q.Get("mailbox"), Notify: q.Get("notify") != "false"}
	if d.Raw, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, maxMail)); err != nil {
		return 0, nil, &controlError{http.StatusRequestEntityTooLarge, fmt.Errorf("read the message: %w", err)}
	}
	if len(d.Raw) == 0 {
		return 0, nil, errors.New("the body must be one raw message")
	}
	if text := q.Get("date"); text != "" {
		if d.Date, err = time.Parse(time.RFC3339, text); err != nil {
			return 0, nil, fmt.Errorf("date: %w", err)
		}
	}
	for k := range strings.SplitSeq(q.Get("keywords"), ",") {
		if k = strings.TrimSpace(k); k != "" {
			d.Keywords = append(d.Keywords, k)
		}
	}
	id, err := c.Deliver(r.Context(), u.Address, d)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, map[string]string{"id": id}, nil
}

func (s *Sandbox) editMessage(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	var edit cloud.Edit
	if err := readJSON(r, &edit); err != nil {
		return 0, nil, err
	}
	if err := c.Edit(u.Address, r.PathValue("id"), edit); err != nil {
		return 0, nil, &controlError{http.StatusNotFound, err}
	}
	return http.StatusNoContent, nil, nil
}

func (s *Sandbox) deleteMessage(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	if err := c.Delete(u.Address, r.PathValue("id")); err != nil {
		return 0, nil, &controlError{http.StatusNotFound, err}
	}
	return http.StatusNoContent, nil, nil
}

func (s *Sandbox) revoke(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	var body struct {
		KeepAccessTokens bool `json:"keep_access_tokens"`
	}
	if err := readJSON(r, &body); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, c.Revoke(u.Address, body.KeepAccessTokens)
}

func (s *Sandbox) forgetCursors(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, c.ForgetCursors(u.Address)
}

func (s *Sandbox) lifecycle(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	var body struct {
		Event string `json:"event"`
	}
	if err := readJSON(r, &body); err != nil {
		return 0, nil, err
	}
	told, err := c.Lifecycle(u.Address, body.Event)
	return http.StatusOK, map[string]int{"subscriptions": told}, err
}

func (s *Sandbox) expireTokens(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, c.ExpireTokens(u.Address)
}

// putFaults takes one fault or a list.
func (s *Sandbox) putFaults(r *http.Request) (int, any, error) {
	var raw json.RawMessage
	if err := readJSON(r, &raw); err != nil {
		return 0, nil, err
	}
	faults := make([]traffic.Fault, 1)
	var into any = &faults[0]
	if strings.HasPrefix(string(raw), "[") {
		into = &faults
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return 0, nil, fmt.Errorf("decode the faults: %w", err)
	}
	for _, f := range faults {
		if f.User != "" {
			if _, _, ok := s.post.find(f.User); !ok {
				return 0, nil, fmt.Errorf("no user %s", f.User)
			}
		}
	}
	if err := s.faults.Put(faults...); err != nil {
		return 0, nil, err
	}
	s.applyDeltaLag()
	return http.StatusOK, s.faults.List(), nil
}

func (s *Sandbox) clearFaults(*http.Request) (int, any, error) {
	s.faults.Clear()
	s.applyDeltaLag()
	return http.StatusNoContent, nil, nil
}

func (s *Sandbox) applyDeltaLag() {
	for _, c := range s.clouds {
		c.SetDeltaLag(s.faults.DeltaLag(c.Name()))
	}
}
