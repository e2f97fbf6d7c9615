package outlook

import (
	"encoding/json"
	"errors"
	"fmt"
)

// grantVersion is the layout of grant.
const grantVersion = 1

// grant is what the core keeps for us, sealed: the sign-in library's cache of
// one account, without access tokens, and whose it is. Refresh tokens are
// bound to the application, hence ClientID.
type grant struct {
	Version       int             `json:"v"`
	ClientID      string          `json:"client_id"`
	HomeAccountID string          `json:"home"`
	Tenant        string          `json:"tid"`
	Object        string          `json:"oid"`
	Scopes        []string        `json:"scopes"`
	Cache         json.RawMessage `json:"cache"`
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
	if g.HomeAccountID == "" || len(g.Cache) == 0 || g.Tenant == "" || g.Object == "" {
		return nil, errors.New("grant is incomplete")
	}
	return &g, nil
}

func (g *grant) bytes() ([]byte, error) { return json.Marshal(g) }

// subject is the immutable key of the account's owner: tenant and object id.
// Addresses and names change (id_token claims reference).
func (g *grant) subject() string { return g.Tenant + "/" + g.Object }

// withoutAccessTokens drops from the library's cache what must not be stored:
// access tokens live in memory alone, and the id token is used once.
func withoutAccessTokens(cache []byte) (json.RawMessage, error) {
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(cache, &sections); err != nil {
		return nil, errors.New("token cache is not JSON")
	}
	delete(sections, "AccessToken")
	delete(sections, "IdToken")
	return json.Marshal(sections)
}
