package gmail

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// grantVersion is the layout of grant.
const grantVersion = 1

// grant is what the core keeps for us, sealed: the refresh token and whose it
// is. Refresh tokens are bound to the OAuth client, hence ClientID.
type grant struct {
	Version      int      `json:"v"`
	ClientID     string   `json:"client_id"`
	Subject      string   `json:"sub"`
	Address      string   `json:"email"`
	Scopes       []string `json:"scopes"`
	RefreshToken string   `json:"refresh_token"`
	// Expires is when Google lets the refresh token die whatever happens, zero
	// where nothing was said: of applications in testing mode, and of consents
	// that were given for a time.
	Expires time.Time `json:"expires,omitzero"`
}

func parseGrant(data []byte) (*grant, error) {
	var g grant
	if err := json.Unmarshal(data, &g); err != nil {
		// The decoder's text may quote the grant.
		return nil, errors.New("grant is not JSON")
	}
	if g.Version != grantVersion {
		return nil, fmt.Errorf("grant has version %d, not %d", g.Version, grantVersion)
	}
	if g.Subject == "" || g.RefreshToken == "" || g.ClientID == "" {
		return nil, errors.New("grant is incomplete")
	}
	return &g, nil
}

func (g *grant) bytes() ([]byte, error) { return json.Marshal(g) }
