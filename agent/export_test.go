package agent

// IdentifyIn is Identify for a process whose own /proc and marks of a container
// are below root.
func IdentifyIn(cfg Config, remember bool, root string) (Identity, []string) {
	return identify(cfg, remember, lookAround(root))
}
