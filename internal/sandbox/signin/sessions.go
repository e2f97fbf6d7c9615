package signin

import (
	"net/http"
	"slices"
	"sync"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// Sessions remember which users signed in with a browser, for prompt=none.
// They end with the process. All methods may be called at once.
type Sessions struct {
	cookie http.Cookie // without a value

	mu    sync.Mutex
	users map[string][]string // ids, by the cookie's value
}

// NewSessions keeps them by a cookie of the name, sent to paths below path.
// secure is for clouds that speak https.
func NewSessions(name, path string, secure bool) *Sessions {
	return &Sessions{
		cookie: http.Cookie{Name: name, Path: path, Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode},
		users:  map[string][]string{},
	}
}

func (s *Sessions) id(r *http.Request) string {
	c, err := r.Cookie(s.cookie.Name)
	if err != nil {
		return ""
	}
	return c.Value
}

// Add remembers that the user signed in.
func (s *Sessions) Add(w http.ResponseWriter, r *http.Request, user cloud.User) {
	id := s.id(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[id] == nil {
		id = Opaque("")
		c := s.cookie
		c.Value = id
		http.SetCookie(w, &c)
	}
	if !slices.Contains(s.users[id], user.ID) {
		s.users[id] = append(s.users[id], user.ID)
	}
}

// End forgets the browser.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) {
	id := s.id(r)
	s.mu.Lock()
	delete(s.users, id)
	s.mu.Unlock()
	c := s.cookie
	c.MaxAge = -1
	http.SetCookie(w, &c)
}

// User is the hinted user (by address or id) if the browser knows it, or
// without a hint the only one that it knows.
func (s *Sessions) User(r *http.Request, d Directory, hint string) (cloud.User, bool) {
	id := s.id(r)
	s.mu.Lock()
	ids := slices.Clone(s.users[id])
	s.mu.Unlock()
	if hint == "" {
		if len(ids) != 1 {
			return cloud.User{}, false
		}
		return d.UserByID(ids[0])
	}
	u, ok := d.UserByAddress(hint)
	if !ok {
		u, ok = d.UserByID(hint)
	}
	return u, ok && slices.Contains(ids, u.ID)
}
