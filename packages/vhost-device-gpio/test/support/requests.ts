import {
  VIRTIO_GPIO_IRQ_REQUEST,
  VIRTIO_GPIO_MSG_SET_IRQ_TYPE,
  VIRTIO_GPIO_REQUEST,
} from '@node-vmm/virtio-bindings/gpio';

/** A request of the requestq. */
export function request(type: number, gpio = 0, value = 0): Uint8Array {
  return VIRTIO_GPIO_REQUEST.encode({ type, gpio, value });
}

/** Enables or disables an interrupt. */
export function irqType(gpio: number, trigger: number): Uint8Array {
  return request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, gpio, trigger);
}

/** A request of the eventq. */
export function unmask(gpio: number): Uint8Array {
  return VIRTIO_GPIO_IRQ_REQUEST.encode({ gpio });
}
