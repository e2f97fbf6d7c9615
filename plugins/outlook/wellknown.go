package outlook

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// knownRoles remembers which folders of an account are the well-known ones. To
// ask takes a request for each of them, which counts, and mailboxes are listed
// in every round.
type knownRoles struct {
	mu    sync.Mutex
	byID  map[string]mail.Role
	of    [sha256.Size]byte // the folders that were there
	until time.Time
}

// rolesLife is how long the answer is believed while the same folders are
// there: an owner may have made another folder the archive.
const rolesLife = 30 * time.Minute

// rolesOf gives the roles among the folders that are there. A folder that came
// or went may be a well-known one.
func (c *call) rolesOf(ctx context.Context, there map[string]bool) (map[string]mail.Role, error) {
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(there)) {
		h.Write([]byte(id + "\x00"))
	}
	of := [sha256.Size]byte(h.Sum(nil))
	k, now := &c.acct.roles, c.p.now()
	k.mu.Lock()
	byID, fresh := k.byID, k.of == of && now.Before(k.until)
	k.mu.Unlock()
	if fresh {
		return byID, nil
	}
	byID, _, err := c.wellKnown(ctx)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byID, k.of, k.until = byID, of, now.Add(rolesLife)
	return byID, nil
}

// wellKnown asks which ids the well-known folders have. A folder that was
// never made (archive) is not found.
func (c *call) wellKnown(ctx context.Context) (byID map[string]mail.Role, root string, err error) {
	items := make([]msgraph.Item, len(roles))
	for i, r := range roles {
		items[i] = msgraph.Item{Method: http.MethodGet, Path: folderPath(r.name) + "?$select=id"}
	}
	answers, err := c.graph.Batch(ctx, c.op, c.prio, items)
	if err != nil {
		return nil, "", err
	}
	byID = make(map[string]mail.Role)
	for i := range answers {
		var f msgraph.Folder
		switch err := answers[i].Decode(c.op, &f); {
		case mail.KindOf(err) == mail.KindNotFound:
		case err != nil:
			return nil, "", err
		case f.ID == "":
			return nil, "", &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: "bad_answer", Message: "the provider's answer names no mailbox"}
		case roles[i].name == wellKnownRoot:
			root = f.ID
		default:
			byID[f.ID] = roles[i].role
		}
	}
	return byID, root, nil
}
