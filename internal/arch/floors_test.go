package arch

// module is the path in front of our own imports.
const module = "github.com/postern-mail/postern"

// pkg is what one package may import of ours, given as paths below module.
type pkg struct {
	floor   int
	imports []string
	tests   []string // what its _test.go files may import besides
}

// family groups packages that may import each other on one floor: the parts
// of one thing. Everywhere else an import goes to a lower floor.
var families = []string{"bridge/imapd", "graph", "store", "plugins/sdk", "plugins/outlook", "plugins/gmail", "internal/sandbox"}

// packages is every package of ours. The order is that of the floors.
var packages = map[string]pkg{
	// 0: words, and the wire's own types.
	"plugins/sdk/mail":                {floor: 0},
	"plugins/sdk/provider/providerpb": {floor: 0},
	"plugins/sdk/pace":                {floor: 0, imports: []string{"plugins/sdk/mail"}},
	"plugins/sdk/header":              {floor: 0},
	"store/record/recordpb":           {floor: 0},

	// 1: what is built of words alone.
	"plugins/sdk/provider": {floor: 1, imports: []string{"plugins/sdk/mail", "plugins/sdk/provider/providerpb"}},
	"internal/event":       {floor: 1, imports: []string{"plugins/sdk/mail"}},
	"internal/seal":        {floor: 1},
	"internal/config":      {floor: 1},
	"internal/mime":        {floor: 1, imports: []string{"plugins/sdk/mail"}},
	"internal/guard":       {floor: 1},
	"internal/freeport":    {floor: 1},

	// 2: contracts and their suites.
	"store":                           {floor: 2, imports: []string{"internal/event", "plugins/sdk/mail"}},
	"store/storetest":                 {floor: 2, imports: []string{"internal/event", "plugins/sdk/mail", "store"}, tests: []string{"internal/seal", "store/bolt"}},
	"plugins/sdk/providertest":        {floor: 2, imports: []string{"plugins/sdk/mail", "plugins/sdk/provider"}, tests: []string{"plugins/sdk/providertest/memory"}},
	"plugins/sdk/providertest/memory": {floor: 2, imports: []string{"plugins/sdk/mail", "plugins/sdk/provider", "plugins/sdk/providertest"}},
	"internal/plugintest":             {floor: 2, imports: []string{"plugins/sdk/mail", "plugins/sdk/provider"}},
	"plugins/sdk/check":               {floor: 2, imports: []string{"plugins/sdk/provider"}, tests: []string{"internal/freeport"}},
	"plugins/sdk/oauth":               {floor: 2, imports: []string{"plugins/sdk/mail", "plugins/sdk/session"}, tests: []string{"plugins/sdk/provider"}},
	"plugins/sdk/settings":            {floor: 2, imports: []string{"plugins/sdk/provider"}},
	"plugins/sdk/session":             {floor: 2, imports: []string{"plugins/sdk/provider"}},
	"internal/powercut":               {floor: 2},
	"internal/plainmail":              {floor: 2},

	// 3: what keeps, carries and hosts.
	"store/record":        {floor: 3, imports: []string{"internal/event", "plugins/sdk/mail", "store", "store/record/recordpb"}},
	"store/table":         {floor: 3, imports: []string{"internal/event", "internal/seal", "plugins/sdk/mail", "store", "store/record"}},
	"store/blobfile":      {floor: 3, imports: []string{"internal/seal", "store", "store/table"}, tests: []string{"store/bolt"}},
	"store/bolt":          {floor: 3, imports: []string{"internal/seal", "store", "store/blobfile", "store/table"}, tests: []string{"internal/event", "internal/powercut", "plugins/sdk/mail", "store/storetest"}},
	"store/bolt/bolttest": {floor: 3, imports: []string{"internal/seal", "store/bolt"}},
	"internal/journal":    {floor: 3, imports: []string{"internal/event", "store"}, tests: []string{"store/bolt", "store/bolt/bolttest"}},
	"internal/outbox":     {floor: 3, imports: []string{"plugins/sdk/mail", "store"}, tests: []string{"internal/event", "internal/seal", "store/bolt"}},
	"internal/pluginhost": {floor: 3, imports: []string{"plugins/sdk/mail", "plugins/sdk/provider"}},
	"internal/textindex":  {floor: 3, imports: []string{"internal/guard", "internal/mime", "plugins/sdk/mail", "store"}, tests: []string{"internal/plainmail", "internal/seal", "store/bolt", "store/bolt/bolttest"}},
	"internal/access":     {floor: 3, imports: []string{"plugins/sdk/mail", "store"}, tests: []string{"store/bolt", "store/bolt/bolttest"}},
	"internal/localca":    {floor: 3, imports: []string{"store"}, tests: []string{"store/bolt/bolttest"}},

	// 4: the services. They do not know each other; what one needs of another
	// it declares as a small interface, and gateway hands it in.
	"internal/account":    {floor: 4, imports: []string{"internal/event", "internal/journal", "plugins/sdk/mail", "plugins/sdk/provider", "store"}, tests: []string{"plugins/sdk/providertest/memory", "store/bolt", "store/bolt/bolttest"}},
	"internal/mailbox":    {floor: 4, imports: []string{"internal/event", "internal/guard", "internal/journal", "internal/mime", "internal/textindex", "plugins/sdk/mail", "plugins/sdk/provider", "store"}, tests: []string{"internal/plainmail", "plugins/sdk/providertest/memory", "store/bolt/bolttest"}},
	"internal/submission": {floor: 4, imports: []string{"internal/event", "internal/guard", "internal/journal", "plugins/sdk/header", "plugins/sdk/mail", "plugins/sdk/provider", "store"}, tests: []string{"plugins/sdk/providertest/memory", "store/bolt", "store/bolt/bolttest"}},
	"internal/webhook":    {floor: 4, imports: []string{"internal/event", "internal/outbox", "plugins/sdk/mail", "store"}, tests: []string{"internal/seal", "store/bolt"}},

	"internal/mirrortest": {floor: 5, imports: []string{"internal/event", "internal/journal", "internal/mailbox", "plugins/sdk/provider", "plugins/sdk/providertest/memory", "store", "store/bolt/bolttest"}},

	// 5: GraphQL's ground.
	"graph/graphiql":  {floor: 5},
	"graph/service":   {floor: 5, imports: []string{"internal/event", "internal/mime", "plugins/sdk/mail", "store"}},
	"graph/scalar":    {floor: 5, imports: []string{"graph/service", "internal/event", "plugins/sdk/mail", "store"}},
	"graph/generated": {floor: 5, imports: []string{"graph/scalar", "graph/service", "internal/event", "plugins/sdk/mail", "store"}},

	// 6: the doors.
	"graph": {floor: 6, imports: []string{"graph/generated", "graph/graphiql", "graph/service", "internal/event", "internal/mime", "plugins/sdk/mail", "store"}, tests: []string{"internal/journal", "store/bolt", "store/bolt/bolttest"}},
	"bridge/imapd": {floor: 6, imports: []string{"bridge/imapd/session", "bridge/imapd/wire", "bridge/mechanism", "internal/access", "internal/guard"},
		tests: []string{"internal/mailbox", "internal/mirrortest", "plugins/sdk/mail", "plugins/sdk/provider", "plugins/sdk/providertest/memory", "store"}},
	"bridge/imapd/box": {floor: 6, imports: []string{"internal/event", "internal/guard", "plugins/sdk/mail", "store"}, tests: []string{"internal/journal", "store/bolt/bolttest"}},
	"bridge/imapd/session": {floor: 6, imports: []string{"bridge/imapd/box", "bridge/imapd/wire", "internal/access", "internal/event", "internal/guard", "internal/mailbox", "internal/mime", "internal/textindex", "plugins/sdk/mail", "store"},
		tests: []string{"internal/journal", "internal/mirrortest", "internal/plugintest", "plugins/sdk/provider", "plugins/sdk/providertest/memory"}},
	"bridge/imapd/wire": {floor: 6},
	"bridge/mechanism":  {floor: 5},
	"bridge/smtpd": {floor: 6, imports: []string{"bridge/mechanism", "internal/access", "internal/submission", "plugins/sdk/mail", "store"},
		tests: []string{"internal/event", "internal/journal", "plugins/sdk/provider", "plugins/sdk/providertest/memory", "store/bolt", "store/bolt/bolttest"}},
	"internal/httpd": {floor: 6, imports: []string{"internal/account", "plugins/sdk/mail", "plugins/sdk/provider"}},

	// 7: the wiring, and the towers beside it that know nothing of the core: the
	// plugins (plugins/sdk only) and the sandbox (plugins/sdk/mail only).
	"internal/gateway": {floor: 7, imports: []string{
		"bridge/imapd", "bridge/imapd/session", "bridge/smtpd",
		"graph", "graph/service", "internal/access", "internal/account", "internal/config", "internal/event", "internal/httpd",
		"internal/journal", "internal/localca", "internal/mailbox", "internal/mime", "internal/outbox", "internal/pluginhost", "internal/seal",
		"internal/submission", "internal/textindex", "internal/webhook", "plugins/sdk/mail", "plugins/sdk/provider", "store", "store/bolt"}},

	"plugins/gmail": {floor: 7, imports: []string{"plugins/sdk/check", "plugins/sdk/header", "plugins/sdk/mail", "plugins/sdk/oauth", "plugins/sdk/pace", "plugins/sdk/provider", "plugins/sdk/session", "plugins/sdk/settings"},
		tests: []string{"internal/plugintest", "internal/sandbox", "internal/sandbox/cloud", "internal/sandbox/google", "internal/sandbox/google/gmail", "internal/sandbox/google/oauth", "internal/sandbox/google/pubsub", "internal/sandbox/traffic", "internal/sandbox/worldtest", "plugins/sdk/providertest"}},
	"plugins/outlook": {floor: 7, imports: []string{"plugins/outlook/msgraph", "plugins/sdk/check", "plugins/sdk/header", "plugins/sdk/mail", "plugins/sdk/oauth", "plugins/sdk/pace", "plugins/sdk/provider", "plugins/sdk/session", "plugins/sdk/settings"},
		tests: []string{"internal/plugintest", "internal/sandbox", "internal/sandbox/cloud", "internal/sandbox/microsoft/graph", "internal/sandbox/microsoft/identity", "internal/sandbox/traffic", "internal/sandbox/worldtest", "plugins/sdk/providertest"}},
	"plugins/outlook/msgraph": {floor: 7, imports: []string{"plugins/sdk/mail", "plugins/sdk/pace"}},

	"internal/sandbox": {floor: 7, imports: []string{"internal/sandbox/certs", "internal/sandbox/cloud", "internal/sandbox/directory", "internal/sandbox/front", "internal/sandbox/google", "internal/sandbox/google/oauth", "internal/sandbox/mailfile", "internal/sandbox/microsoft",
		"internal/sandbox/microsoft/identity", "internal/sandbox/seed", "internal/sandbox/traffic"}, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/certs":              {floor: 7},
	"internal/sandbox/cloud":              {floor: 7},
	"internal/sandbox/directory":          {floor: 7, imports: []string{"internal/sandbox/cloud"}},
	"internal/sandbox/fidelity":           {floor: 7, tests: []string{"internal/sandbox", "internal/sandbox/google", "internal/sandbox/microsoft/graph"}},
	"internal/sandbox/front":              {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/traffic"}},
	"internal/sandbox/google":             {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/directory", "internal/sandbox/front", "internal/sandbox/google/gmail", "internal/sandbox/google/oauth", "internal/sandbox/google/pubsub", "internal/sandbox/keep", "internal/sandbox/traffic"}, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/google/gmail":       {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/directory", "internal/sandbox/front", "internal/sandbox/google/pubsub", "internal/sandbox/keep", "internal/sandbox/mimetree", "internal/sandbox/traffic"}},
	"internal/sandbox/google/oauth":       {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/jwt", "internal/sandbox/keep", "internal/sandbox/signin", "internal/sandbox/traffic"}, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/google/pubsub":      {floor: 7, imports: []string{"internal/sandbox/front", "internal/sandbox/keep", "internal/sandbox/traffic"}, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/jwt":                {floor: 7, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/keep":               {floor: 7},
	"internal/sandbox/mailfile":           {floor: 7},
	"internal/sandbox/mimetree":           {floor: 7},
	"internal/sandbox/microsoft":          {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/front", "internal/sandbox/microsoft/graph", "internal/sandbox/microsoft/identity", "internal/sandbox/microsoft/push", "internal/sandbox/traffic"}},
	"internal/sandbox/microsoft/graph":    {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/directory", "internal/sandbox/front", "internal/sandbox/mimetree"}},
	"internal/sandbox/microsoft/identity": {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/jwt", "internal/sandbox/keep", "internal/sandbox/signin", "internal/sandbox/traffic"}, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/microsoft/push":     {floor: 7, imports: []string{"internal/sandbox/cloud", "internal/sandbox/front", "internal/sandbox/keep", "internal/sandbox/traffic"}, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/program":            {floor: 7, imports: []string{"internal/sandbox"}},
	"internal/sandbox/seed":               {floor: 7, imports: []string{"internal/sandbox/cloud"}},
	"internal/sandbox/signin":             {floor: 7, imports: []string{"internal/sandbox/cloud"}, tests: []string{"internal/sandbox/worldtest"}},
	"internal/sandbox/traffic":            {floor: 7},
	"internal/sandbox/worldtest":          {floor: 7, imports: []string{"internal/sandbox/cloud"}},

	// 8: programs, and tests that stand outside.
	"cmd/postern": {floor: 8, imports: []string{"graph/service", "internal/config", "internal/freeport", "internal/gateway", "internal/pluginhost", "internal/seal",
		"plugins/sdk/check", "plugins/sdk/provider", "plugins/sdk/providertest", "store", "store/bolt"}, tests: []string{"plugins/sdk/providertest/memory"}},
	"cmd/postern-provider-gmail":   {floor: 8, imports: []string{"plugins/gmail", "plugins/sdk/provider"}},
	"cmd/postern-provider-outlook": {floor: 8, imports: []string{"plugins/outlook", "plugins/sdk/provider"}},
	"cmd/postern-sandbox":          {floor: 8, imports: []string{"internal/sandbox/program"}},
	"internal/arch":                {floor: 8},
	"internal/e2e":                 {floor: 8, tests: []string{"internal/event", "internal/freeport", "internal/plainmail", "internal/sandbox", "internal/sandbox/cloud", "internal/sandbox/google/gmail", "internal/sandbox/microsoft/graph", "internal/sandbox/traffic", "plugins/sdk/mail", "plugins/sdk/provider", "plugins/sdk/providertest/memory"}}, // drives the programs from outside
	"internal/testrun":             {floor: 8},
	"internal/fuzzrun":             {floor: 8},
	"internal/mailclients":         {floor: 8, imports: []string{"internal/freeport"}},
	"internal/bench": {floor: 8, imports: []string{"internal/config", "internal/event", "internal/freeport", "internal/journal", "internal/outbox", "internal/seal", "internal/webhook",
		"plugins/sdk/mail", "store", "store/bolt"}},
	"internal/tools/protogen": {floor: 8},
}

// external lists who may import what of others where that is few: the key is a
// prefix of import paths, the values are prefixes of our packages. Everything
// that is not listed is free.
var external = map[string][]string{
	"go.etcd.io/bbolt":              {"store/bolt"},
	"github.com/99designs/":         {"graph"},
	"github.com/vektah/":            {"graph"},
	"github.com/microcosm-cc/":      {"graph"},
	"github.com/coder/":             {"graph"},
	"github.com/AzureAD/":           {"plugins/outlook"},
	"google.golang.org/api":         {"plugins/gmail", "internal/sandbox"},
	"golang.org/x/oauth2":           {"plugins/gmail", "internal/sandbox"},
	"github.com/emersion/":          {"bridge", "internal/mime", "internal/submission", "internal/sandbox"},
	"github.com/hashicorp/":         {"plugins/sdk/provider", "internal/pluginhost"},
	"google.golang.org/grpc":        {"plugins/sdk/provider", "internal/pluginhost"},
	"google.golang.org/protobuf":    {"plugins/sdk/provider", "store/record", "internal/tools"},
	"github.com/alecthomas/":        {"cmd", "internal/sandbox/program"},
	"go.yaml.in/":                   {"internal/config", "plugins/sdk/providertest", "cmd", "internal/bench"},
	"github.com/standard-webhooks/": {"cmd/postern", "internal/bench"}, // receivers verify as a stranger would
	// In tests alone.
	"github.com/google/go-cmp":    {"store/storetest"},
	"github.com/jhillyerd/enmime": {},
	"github.com/getkin/":          {},
	"github.com/rogpeppe/":        {},
}

// standardOnly import nothing but Go's standard library and ours.
var standardOnly = []string{"plugins/sdk/mail", "store", "internal/event", "internal/seal", "internal/arch"}
