package mechanism

import (
	"errors"
	"testing"
)

func TestMessages(t *testing.T) {
	for name, c := range map[string]struct {
		read         func([]byte) (string, string, error)
		message      string
		user, secret string
		err          error
	}{
		"plain":                     {Plain, "\x00ann@a.example\x00secret", "ann@a.example", "secret", nil},
		"plain, own identity":       {Plain, "Ann@a.example\x00ann@a.example\x00secret", "ann@a.example", "secret", nil},
		"plain for somebody":        {Plain, "bob@a.example\x00ann@a.example\x00secret", "", "", ErrIdentity},
		"plain cut":                 {Plain, "\x00ann@a.example", "", "", ErrShape},
		"plain too long":            {Plain, "\x00a\x00b\x00c", "", "", ErrShape},
		"bearer":                    {OAuthBearer, "n,a=ann@a.example,\x01host=h\x01port=1143\x01auth=Bearer t0k\x01\x01", "ann@a.example", "t0k", nil},
		"bearer, escaped":           {OAuthBearer, "n,a=a=2Cb=3Dc,\x01auth=bearer t\x01\x01", "a,b=c", "t", nil},
		"bearer of nobody":          {OAuthBearer, "y,,\x01auth=Bearer t\x01\x01", "", "t", nil},
		"bearer without end":        {OAuthBearer, "n,a=x,\x01auth=Bearer t\x01", "x", "", ErrShape},
		"bearer without token":      {OAuthBearer, "n,a=x,\x01host=h\x01\x01", "x", "", ErrShape},
		"bearer, two":               {OAuthBearer, "n,a=x,\x01auth=Bearer t\x01auth=Bearer u\x01\x01", "x", "", ErrShape},
		"bearer, channel binding":   {OAuthBearer, "p=tls,a=x,\x01auth=Bearer t\x01\x01", "", "", ErrShape},
		"bearer, basic":             {OAuthBearer, "n,a=x,\x01auth=Basic t\x01\x01", "x", "", ErrShape},
		"xoauth2":                   {XOAuth2, "user=ann@a.example\x01auth=Bearer t0k\x01\x01", "ann@a.example", "t0k", nil},
		"xoauth2 without user":      {XOAuth2, "auth=Bearer t0k\x01\x01", "", "", ErrShape},
		"xoauth2 of empty":          {XOAuth2, "", "", "", ErrShape},
		"xoauth2 without end":       {XOAuth2, "user=x\x01auth=Bearer t", "x", "", ErrShape},
		"xoauth2 with another pair": {XOAuth2, "user=x\x01y=z\x01auth=Bearer t\x01\x01", "x", "t", nil},
	} {
		user, secret, err := c.read([]byte(c.message))
		if user != c.user || secret != c.secret || !errors.Is(err, c.err) {
			t.Errorf("%s: %q %q %v, want %q %q %v", name, user, secret, err, c.user, c.secret, c.err)
		}
	}
}
