package table

import (
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Grants serve several accounts, so they are sealed under the store's key.

// Grant reads a grant.
func (tx *Tx) Grant(id string) (*store.Grant, error) {
	b, _, err := tx.getSealed(bGrant, key(id))
	if err != nil {
		return nil, err
	}
	return record.DecodeGrant(id, b)
}

// PutGrant writes a grant.
func (tx *Tx) PutGrant(g *store.Grant) error {
	if err := checkID("grant", g.ID); err != nil {
		return err
	}
	b, err := record.EncodeGrant(g)
	return tx.putSealed(bGrant, key(g.ID), 0, b, err)
}

// DeleteGrant forgets a grant.
func (tx *Tx) DeleteGrant(id string) error { return tx.del(bGrant, key(id)) }

// ConnectByLink finds a pending consent by its link.
func (tx *Tx) ConnectByLink(link string) (*store.Connect, error) {
	return tx.connect(tx.mac("link", link))
}

// ConnectByState finds a pending consent by its state.
func (tx *Tx) ConnectByState(state string) (*store.Connect, error) {
	m, err := tx.must(bConnectBy, tx.mac("state", state))
	if err != nil {
		return nil, err
	}
	return tx.connect(m)
}

func (tx *Tx) connect(m key) (*store.Connect, error) {
	b, _, err := tx.getSealed(bConnect, m)
	if err != nil {
		return nil, err
	}
	return record.DecodeConnect(b)
}

// PutConnect writes a pending consent, found by link and by state.
func (tx *Tx) PutConnect(c *store.Connect) error {
	if err := checkID("connect", c.Link); err != nil {
		return err
	}
	m := tx.mac("link", c.Link)
	old, err := tx.connect(m)
	if gone, err := missing(err); err != nil {
		return err
	} else if !gone {
		if err := tx.dropConnect(m, old); err != nil {
			return err
		}
	}
	if c.State != "" {
		if err := tx.put(bConnectBy, tx.mac("state", c.State), m); err != nil {
			return err
		}
	}
	if err := tx.put(bConnectAt, key(nil).at(c.ExpiresAt).last(string(m)), nil); err != nil {
		return err
	}
	b, err := record.EncodeConnect(c)
	return tx.putSealed(bConnect, m, 0, b, err)
}

func (tx *Tx) dropConnect(m key, c *store.Connect) error {
	if c.State != "" {
		if err := tx.del(bConnectBy, tx.mac("state", c.State)); err != nil {
			return err
		}
	}
	if err := tx.del(bConnectAt, key(nil).at(c.ExpiresAt).last(string(m))); err != nil {
		return err
	}
	return tx.del(bConnect, m)
}

// ExpireConnects removes consents that expired before t.
func (tx *Tx) ExpireConnects(t time.Time, limit int) (removed int, err error) {
	pairs, err := tx.scan(bConnectAt, nil, key(nil).at(t), false, limit)
	if err != nil {
		return 0, err
	}
	for _, p := range pairs {
		m := key(p.Key[timeSize:])
		c, err := tx.connect(m)
		if err != nil {
			return 0, err
		}
		if err := tx.dropConnect(m, c); err != nil {
			return 0, err
		}
		removed++
	}
	return removed, nil
}

// Setting reads a setting.
func (tx *Tx) Setting(name string) ([]byte, error) {
	b, _, err := tx.getSealed(bSetting, key(name))
	if err != nil {
		return nil, err
	}
	return append([]byte{}, b...), nil
}

// PutSetting writes a setting.
func (tx *Tx) PutSetting(name string, value []byte) error {
	if err := checkID("setting", name); err != nil {
		return err
	}
	return tx.putSealed(bSetting, key(name), 0, value, nil)
}

// DeleteSetting forgets a setting.
func (tx *Tx) DeleteSetting(name string) error { return tx.del(bSetting, key(name)) }
