package smtpd

import (
	"net/netip"
	"testing"
)

// TestCleartextIsForThisMachine: where passwords are taken without TLS, they are
// taken from this machine alone.
func TestCleartextIsForThisMachine(t *testing.T) {
	for _, tt := range []struct {
		remote            string
		secure, cleartext bool
		want              bool
	}{
		{"127.0.0.1", false, true, true},
		{"::1", false, true, true},
		{"127.0.0.1", false, false, false},
		{"192.0.2.1", false, true, false},
		{"2001:db8::1", false, true, false},
		{"192.0.2.1", true, false, true},
		{"", false, true, false},
	} {
		s := &session{s: &Server{opts: Options{Cleartext: tt.cleartext}}, c: &conn{secure: tt.secure}}
		if tt.remote != "" {
			s.remote = netip.MustParseAddr(tt.remote)
		}
		for _, mech := range []string{mechPlain, mechLogin, mechOAuthBearer, mechXOAuth2} {
			if _, err := s.Auth(mech); (err == nil) != tt.want || err != nil && err != error(errEncrypt) {
				t.Errorf("%+v, %s: %v", tt, mech, err)
			}
		}
		if offered := s.AuthMechanisms(); (len(offered) > 0) != tt.want {
			t.Errorf("%+v: %v is offered", tt, offered)
		}
	}
}
