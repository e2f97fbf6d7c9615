package table

import (
	"errors"
	"slices"
)

// maxSubscribed bounds how many names without a mailbox an account may have.
const maxSubscribed = 10_000

var errSubscribed = errors.New("the account has too many subscriptions without a mailbox")

func (tx *Tx) subscribedKey(l uint64, name string) key {
	return key(nil).u64(l).last(string(tx.mac("subscribed", name)))
}

// SubscribedNames lists names that were subscribed to without a mailbox.
func (tx *Tx) SubscribedNames(account string) ([]string, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	pairs, err := tx.prefix(bSubscribed, key(nil).u64(l), maxSubscribed)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range pairs {
		b, _, err := tx.open(bSubscribed, p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out, nil
}

// PutSubscribedName remembers a name.
func (tx *Tx) PutSubscribedName(account, name string) error {
	l, err := tx.needLife(account)
	if err != nil {
		return err
	}
	pairs, err := tx.prefix(bSubscribed, key(nil).u64(l), maxSubscribed)
	if err != nil {
		return err
	}
	if len(pairs) == maxSubscribed {
		return errSubscribed
	}
	return tx.putSealed(bSubscribed, tx.subscribedKey(l, name), l, []byte(name), nil)
}

// DeleteSubscribedName forgets a name.
func (tx *Tx) DeleteSubscribedName(account, name string) error {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return err
	}
	return tx.del(bSubscribed, tx.subscribedKey(l, name))
}
