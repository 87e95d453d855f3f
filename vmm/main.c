/*
 * ringer: the commands.
 *
 * Order of `run`: the command line, the host, the files and the machine, the
 * boot image in memory, and only then what others can see — sockets, files, the
 * terminal.  So a refusal leaves nothing half-created.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cpu/kvm_host.h"
#include "vmm/ctl.h"
#include "vmm/doctor.h"
#include "vmm/monitor.h"
#include "vmm/options.h"

static int run_command(int argc, char **argv);
static int doctor_command(int argc, char **argv);
static int help_command(int argc, char **argv);
static int version_command(int argc, char **argv);

static const struct command {
	const char *name, *help;
	int (*run)(int argc, char **argv);	/* the words after the command */
} commands[] = {
	{ "run", "run a machine (ringer run --help)", run_command },
	{ "ctl", "control a running machine (ringer ctl --help)", ctl },
	{ "doctor", "say what this host offers and lacks, and what follows", doctor_command },
	{ "help", "this text", help_command },
	{ "version", "print the version", version_command },
};

static void usage(FILE *out)
{
	fprintf(out, "Usage: ringer COMMAND [OPTION]...\n"
		"A 32-bit PC in a process: guest kernels binary-translated, guest programs on the CPU.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
}

static int refuse_arguments(const char *command, char **argv)
{
	log_error("%s: unexpected argument '%s'", command, argv[0]);
	return EXIT_USAGE;
}

static int help_command(int argc, char **argv)
{
	if (argc && strcmp(argv[0], "run"))
		return refuse_arguments("help", argv);
	if (argc)
		options_help(stdout);
	else
		usage(stdout);
	return 0;
}

static int version_command(int argc, char **argv)
{
	if (argc)
		return refuse_arguments("version", argv);
	printf("ringer %s\n", RINGER_VERSION);
	return 0;
}

static int doctor_command(int argc, char **argv)
{
	if (argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
		printf("Usage: ringer doctor\nStatus 0 if this host can run machines under binary translation, else 1.\n");
		return 0;
	}
	return argc ? refuse_arguments("doctor", argv) : doctor(stdout);
}

/* Which engine, and may it run here?  `why` is for those who ask. */
static int choose_engine(struct config *cfg, char *why, size_t size)
{
	struct kvm_host hw = { .verdict = KVM_MISSING };
	bool automatic = cfg->mode == MODE_AUTO;
	char err[256];

	if (cfg->mode != MODE_BT)
		kvm_host_probe(&hw, true);
	kvm_host_free(&hw);
	if (cfg->mode == MODE_HW && !kvm_host_usable(&hw, cfg->hw_force)) {
		log_error("--mode=hw: %s%s", hw.text, hw.verdict == KVM_SOFTWARE ? " (--hw-force tries all the same)" : "");
		return EXIT_HOST;
	}
	if (cfg->mode == MODE_HW || (automatic && kvm_host_usable(&hw, cfg->hw_force))) {
		cfg->mode = MODE_HW;
		snprintf(why, size, "%s: %s", automatic ? "--mode=auto takes it" : "as --mode=hw asks", hw.text);
		return 0;
	}
	cfg->mode = MODE_BT;
	if (doctor_require_bt(err, sizeof err)) {
		log_error("%s (ringer doctor says more)", err);
		return EXIT_HOST;
	}
	snprintf(why, size, "%s%s", automatic ? "--mode=auto takes it: " : "the default; --mode=hw or auto asks for another",
		 automatic ? hw.text : "");
	return 0;
}

/* Every machine says its engine where that was left open, or when asked. */
static void say_engine(const struct config *cfg, const char *why, bool was_auto)
{
	if (cfg->stats || cfg->verbose || was_auto || cfg->hw_force)
		log_info("engine %s: %s", cfg->mode == MODE_HW ? "hw (hardware assist)" : "bt (binary translation)", why);
}

static int run_machine(const struct config *cfg, const char *why, bool was_auto)
{
	char err[512] = "";
	struct monitor *m;
	struct vm *vm;
	int status = EXIT_HOST;

	vm = vm_create(cfg, err, sizeof err);
	if (!vm) {
		log_error("%s", err);
		return EXIT_HOST;
	}
	if (vm_boot(vm, err, sizeof err) || !(m = monitor_create(vm, err, sizeof err))) {
		log_error("%s", err);
	} else {
		say_engine(cfg, why, was_auto);
		status = monitor_run(m);
		monitor_destroy(m);
	}
	vm_destroy(vm);
	return status;
}

static int run_command(int argc, char **argv)
{
	struct config cfg;
	char err[512] = "";
	char why[300];
	bool was_auto;
	int status;

	switch (options_parse(&cfg, argc, argv, stdout, err, sizeof err)) {
	case OPTIONS_OK:
		break;
	case OPTIONS_LISTED:
		return 0;
	case OPTIONS_USAGE:
		log_error("%s", err);
		return EXIT_USAGE;
	case OPTIONS_IMPOSSIBLE:
		log_error("%s", err);
		return EXIT_HOST;
	}
	was_auto = cfg.mode == MODE_AUTO;
	status = choose_engine(&cfg, why, sizeof why);
	return status ? status : run_machine(&cfg, why, was_auto);
}

/*
 * A closed standard stream would become guest RAM or an eventfd, and log lines
 * would go there.  Its number is taken, in the direction that keeps it unusable.
 */
static void fill_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			return;
}

int main(int argc, char **argv)
{
	fill_standard_streams();
	if (argc < 2) {
		log_error("no command (ringer help lists them)");
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help_command(0, NULL);
	if (!strcmp(argv[1], "--version"))
		return version_command(0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name)) {
			int status = commands[i].run(argc - 2, argv + 2);

			/* Output that could not be written (a full disk) is a failure. */
			if (fflush(stdout) && !status)
				status = EXIT_HOST;
			return status;
		}
	log_error("unknown command '%s' (ringer help lists them)", argv[1]);
	return EXIT_USAGE;
}
