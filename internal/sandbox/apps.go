package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
)

// The calls of the control API that are not the same in all clouds: apps,
// blocks, and what Google alone has.

// cloudOf is the cloud that a call names, by its query or by its body; the
// first one unless it says so.
func (s *Sandbox) cloudOf(r *http.Request, body string) (string, error) {
	name := r.URL.Query().Get("cloud")
	if name == "" {
		name = body
	}
	if name == "" {
		name = s.microsoft.Name()
	}
	for _, c := range s.clouds {
		if c.Name() == name {
			return name, nil
		}
	}
	return "", fmt.Errorf("there is no cloud %q", name)
}

func (s *Sandbox) listApps(r *http.Request) (int, any, error) {
	name, err := s.cloudOf(r, "")
	if err != nil {
		return 0, nil, err
	}
	if name == s.google.Name() {
		return http.StatusOK, s.google.Apps(), nil
	}
	return http.StatusOK, s.microsoft.Apps(), nil
}

func (s *Sandbox) addApp(r *http.Request) (int, any, error) {
	var raw map[string]json.RawMessage
	if err := readJSON(r, &raw); err != nil {
		return 0, nil, err
	}
	named := ""
	if raw["cloud"] != nil {
		if err := json.Unmarshal(raw["cloud"], &named); err != nil {
			return 0, nil, fmt.Errorf("decode the body: cloud: %w", err)
		}
		delete(raw, "cloud")
	}
	name, err := s.cloudOf(r, named)
	if err != nil {
		return 0, nil, err
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return 0, nil, fmt.Errorf("decode the body: %w", err)
	}
	if name == s.google.Name() {
		var app oauth.App
		if err := strict(text, &app); err != nil {
			return 0, nil, err
		}
		made, err := s.google.Register(app)
		return http.StatusCreated, made, err
	}
	var app identity.App
	if err := strict(text, &app); err != nil {
		return 0, nil, err
	}
	made, err := s.microsoft.Register(app)
	return http.StatusCreated, made, err
}

// block takes a code, or for Google the reason in words.
func (s *Sandbox) block(r *http.Request) (int, any, error) {
	c, u, err := s.owner(r)
	if err != nil {
		return 0, nil, err
	}
	var body struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}
	if err := readJSON(r, &body); err != nil {
		return 0, nil, err
	}
	if body.Reason != "" {
		b, ok := oauth.BlockOf(body.Reason)
		if !ok || c.Name() != s.google.Name() {
			return 0, nil, fmt.Errorf("reason %q is not one of %s", body.Reason, s.google.Name())
		}
		body.Code = int(b)
	}
	return http.StatusNoContent, nil, c.Block(u.Address, body.Code)
}

// googleUser finds the user of a path, who must be Google's.
func (s *Sandbox) googleUser(r *http.Request) (cloud.User, error) {
	c, u, err := s.owner(r)
	if err == nil && c.Name() != s.google.Name() {
		err = fmt.Errorf("%s is no user of %s", u.Address, s.google.Name())
	}
	return u, err
}

// changePassword ends the refresh tokens that reach mail.
func (s *Sandbox) changePassword(r *http.Request) (int, any, error) {
	u, err := s.googleUser(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.google.ChangePassword(u.Address)
}

// addServiceAccount answers the key file.
func (s *Sandbox) addServiceAccount(r *http.Request) (int, any, error) {
	var body struct {
		Name  string   `json:"name"`
		Roles []string `json:"roles"`
	}
	if err := readJSON(r, &body); err != nil {
		return 0, nil, err
	}
	if body.Name == "" {
		return 0, nil, fmt.Errorf("a service account needs a name")
	}
	key, err := s.google.ServiceAccountKey(body.Name, s.state.Google, body.Roles...)
	return http.StatusCreated, json.RawMessage(key), err
}
