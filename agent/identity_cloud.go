package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// azureChassis is the asset tag of every virtual machine of Azure.
const azureChassis = "7783-7084-3265-9085-8269-3286-77"

var (
	ec2Instance = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
	ec2Type     = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9-]+$`)
	dmiUUID     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// cloudAttributes says which cloud the host is a machine of, as its firmware
// has it below sys; nobody is asked over the network. EC2 says the instance and
// its type, Azure the instance, to root alone, and Google neither: empty values
// are left to the caller.
func cloudAttributes(sys string) []Attribute {
	if os.Getenv("AWS_EXECUTION_ENV") == "AWS_ECS_FARGATE" { // the machine below is not the user's
		return cloud("AWS_EXECUTION_ENV", "aws", "aws_ecs", "", "")
	}
	dir := filepath.Join(sys, "class/dmi/id")
	read := func(name string) string { return strings.TrimSpace(readText(filepath.Join(dir, name))) }
	matched := func(pattern *regexp.Regexp, text string) string { return pattern.FindString(text) }
	vendor, product := read("sys_vendor"), read("product_name")
	switch {
	case vendor == "Amazon EC2":
		return cloud(dir, "aws", "aws_ec2", matched(ec2Instance, read("board_asset_tag")), matched(ec2Type, product))
	case vendor == "Xen" && strings.HasSuffix(read("bios_version"), ".amazon"):
		return cloud(dir, "aws", "aws_ec2", "", "")
	case product == "Google Compute Engine":
		return cloud(dir, "gcp", "gcp_compute_engine", "", "")
	case read("chassis_asset_tag") == azureChassis:
		id := matched(dmiUUID, strings.ToLower(read("product_uuid")))
		if _, err := os.Stat(filepath.Join(sys, "firmware/efi")); err != nil {
			id = swapUUID(id)
		}
		return cloud(dir, "azure", "azure_vm", id, "")
	}
	return nil
}

func cloud(source, provider, platform, id, kind string) []Attribute {
	return []Attribute{
		{metric.L("cloud.provider", provider), source},
		{metric.L("cloud.platform", platform), source},
		{metric.L("host.id", id), source},
		{metric.L("host.type", kind), source},
	}
}

// swapUUID turns the bytes of the first three groups around: a machine of
// Azure's first generation, which has no EFI, has its id the wrong way round.
func swapUUID(id string) string {
	if id == "" {
		return ""
	}
	groups := strings.Split(id, "-")
	for i, group := range groups[:3] {
		turned := ""
		for ; group != ""; group = group[2:] {
			turned = group[:2] + turned
		}
		groups[i] = turned
	}
	return strings.Join(groups, "-")
}
