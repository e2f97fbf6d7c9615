package sandbox

import "net/http"

// restrictConsent makes Microsoft's organisation let only its administrators
// allow applications, or ends that. The answer names who is one.
func (s *Sandbox) restrictConsent(r *http.Request) (int, any, error) {
	var body struct {
		AdministratorsOnly bool `json:"administrators_only"`
	}
	if err := readJSON(r, &body); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"administrator": s.microsoft.RestrictConsent(body.AdministratorsOnly)}, nil
}
