/* The second stage with its checksum, as the Makefile made it. */
    .section .boot2, "a"
    .global pt_boot2_image
    .type pt_boot2_image, %object
pt_boot2_image:
    .incbin PT_BOOT2_IMAGE
    .size pt_boot2_image, . - pt_boot2_image
